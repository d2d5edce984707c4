"""The JSON Schema of a configuration, composed from the core and the installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.errors import PydanticInvalidForJsonSchema

from ktoformats.config.models import KTOConfig
from ktoformats.errors import PluginError

if TYPE_CHECKING:
    from ktoformats.plugin.registry import Registry

_PLACES: Final = {"formats": "format", "filters": "filter", "quality": "quality", "utility": "utility"}


def json_schema(registry: Registry) -> tuple[dict[str, Any], list[str]]:
    """The schema, and what is missing from it.

    Args:
        registry: The installed plugins; every one is imported for its options.

    Returns:
        A JSON Schema (draft 2020-12) and one sentence for each plugin that could not be imported.
    """
    schema = KTOConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    failures: list[str] = []
    data = schema["$defs"]["KTODataConfig"]["properties"]
    choices = {kind: _choices(registry, kind, schema["$defs"], failures) for kind in (*_PLACES.values(), "labels")}
    for place, kind in _PLACES.items():
        target = data[place]["items"] if data[place].get("type") == "array" else data[place]
        target.pop("additionalProperties", None)
        target["anyOf"] = choices[kind]
    data["scales"]["additionalProperties"] = {"anyOf": [*choices["labels"], {"$ref": "#/$defs/Scale"}]}
    return schema, failures


def _choices(registry: Registry, kind: str, definitions: dict[str, Any], failures: list[str]) -> list[dict[str, Any]]:
    """A plain name, or one plugin's name with its options."""
    names: list[str] = ["default"] if kind == "format" else []
    choices: list[dict[str, Any]] = []
    for name in registry.names(kind):
        try:
            options = registry.load(kind, name).cls.model_json_schema(ref_template="#/$defs/{model}")
        except PluginError as error:
            failures.append(str(error))
            continue
        except PydanticInvalidForJsonSchema as error:
            failures.append(f"{kind} {name!r} has an option without a JSON Schema ({error.message})")
            continue
        definitions.update(options.pop("$defs", {}))
        names.append(name)
        choices.append(
            {
                "type": "object",
                "properties": {name: options},
                "required": [name],
                "additionalProperties": False,
            }
        )
    return [{"enum": names}, *choices]
