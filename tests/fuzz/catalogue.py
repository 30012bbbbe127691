"""Every target by its name."""

from tests.fuzz import answers, configuration, exports, files, headers, messages, refusals, stores

TARGETS = {
    target.name: target
    for module in (messages, headers, answers, exports, configuration, stores, files, refusals)
    for target in module.TARGETS
}
