"""Every target by its name."""

from tests.fuzz import answers, configuration, exports, files, headers, messages, stores

TARGETS = {
    target.name: target
    for module in (messages, headers, answers, exports, configuration, stores, files)
    for target in module.TARGETS
}
