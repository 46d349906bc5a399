"""What YARN's scheduler says, and where its resource managers are, in a line."""

import pytest

from irisspark.startup.yarn import addresses, summarize

PARTITION = "Details : AM Partition = <DEFAULT_PARTITION> ; Partition Resource = <memory:16384> ; "


@pytest.mark.parametrize(
    ("diagnostics", "line"),
    [
        (
            "[Wed Nov 25 13:50:16 +0000 2026] Application is Activated, waiting for resources to "
            f"be assigned for AM.  {PARTITION}",
            "Application is Activated, waiting for resources to be assigned for AM",
        ),
        (
            "[Wed Nov 25 13:50:16 +0000 2026] Application is added to the scheduler and is not yet "
            f"activated. Queue's AM resource limit exceeded.  {PARTITION}",
            "Application is added to the scheduler and is not yet activated. Queue's AM resource "
            "limit exceeded",
        ),
        (
            "AM container is launched, waiting for AM container to Register with RM",
            "AM container is launched, waiting for AM container to Register with RM",
        ),
        ("", "it does not say why"),
        ("[Wed Nov 25 13:50:16 +0000 2026] ", "it does not say why"),
    ],
)
def test_what_a_scheduler_says_is_a_sentence(diagnostics: str, line: str) -> None:
    assert summarize(diagnostics) == line


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"yarn.resourcemanager.address": "rm:8032"}, "rm:8032"),
        (
            {
                "yarn.resourcemanager.ha.rm-ids": "one,two",
                "yarn.resourcemanager.address": "0.0.0.0:8032",
                "yarn.resourcemanager.address.one": "a:8050",
                "yarn.resourcemanager.hostname.two": "b",
            },
            "a:8050, b",
        ),
    ],
)
def test_resource_managers_are_named(settings: dict[str, str], found: str) -> None:
    assert addresses(settings) == found
