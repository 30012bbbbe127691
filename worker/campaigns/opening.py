"""Opens a campaign's exports: finds each one's format, and matches its header by the options. Reads no rows beyond."""

from collections.abc import Sequence

from worker.campaigns.channels import check_default
from worker.campaigns.containers.base import ExportFile
from worker.campaigns.exports.base import Export
from worker.campaigns.exports.detect import open_export
from worker.campaigns.exports.encodings import parse_encoding
from worker.campaigns.exports.text import Source
from worker.campaigns.options import ImportOptions
from worker.campaigns.presets.announcement import announced
from worker.campaigns.presets.recognition import Recognition
from worker.campaigns.reject_files import refuse_overwriting
from worker.campaigns.warnings import ImportWarnings
from worker.errors import UsageError


def open_exports(
    files: Sequence[ExportFile], options: ImportOptions, warnings: ImportWarnings, *, writes_rejects: bool
) -> tuple[Export, ...]:
    """The exports in the order of the ``files``; ``warnings`` learns as what they are read.

    ``writes_rejects``: a file of rejected rows will be written, and may not take the place of an export.

    Raises:
      UsageError: an option or a header can't be used, or all are suppression lists.
      InputError: a file can't be read.
    """
    options.check()
    if options.channel is not None:
        check_default(options.channel)
    if writes_rejects:
        refuse_overwriting(files, options.rejects)
    recognition = Recognition(
        options.mapping,
        [condition.column for condition in options.consent],
        has_shop=options.shop is not None,
        channel=options.channel,
        preset=options.preset,
        ignore_consent=options.ignore_consent,
    )
    encoding = parse_encoding(options.encoding) if options.encoding is not None else None
    sources = [Source(file, encoding, warnings) for file in files]
    for source in sources:
        source.check()
    exports = tuple(open_export(source, recognition) for source in sources)
    if exports and all(export.recognised.suppresses for export in exports):
        raise UsageError(
            f"{exports[0].file.name}: is a suppression list, whose rows become no jobs; give the export of the "
            "customers beside it"
        )
    for line in announced(exports):
        warnings.once(line, line)
    return exports
