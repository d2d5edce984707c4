"""Agreement in five grades, as surveys ask for it."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl, scale_of


class Agreement(Labels):
    """Reads لا أوافق بشدة < لا أوافق < محايد < أوافق < أوافق بشدة, their numbers 1 to 5, and `٤ - أوافق`."""

    examples = (
        ("أوافق بشدة", "good"),
        ("agree", "good"),
        ("محايد", ""),
        ("disagree", "bad"),
        (1, "bad"),
        ("٤ - أوافق", "good"),
    )

    scale: Scale = scale_of(
        "agreement",
        "=no+ | strongly disagree < =no | disagree < =average | neither agree nor disagree"
        " < =yes | agree < =yes+ | strongly agree",
        low=1.0,
        high=5.0,
        good_from=4,
        bad_to=2,
        numbers=True,
    )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Agreement]
