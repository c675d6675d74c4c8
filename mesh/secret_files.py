"""Settings from files: `NAME_FILE` names a file with the value of the setting `NAME`, as containers get their secrets."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SUFFIX = "_FILE"


class SettingsFromFiles(PydanticBaseSettingsSource):
    """For each setting whose `NAME_FILE` is set, the content of that file without surrounding white space.

    A setting that has a field for its file (`call_token_private_key_file`) reads the file itself. Raises ValueError if both `NAME` and
    `NAME_FILE` are set, or if the file cannot be read; the message contains no value.
    """

    def __init__(self, settings: type[BaseSettings], environment: Mapping[str, str] = os.environ) -> None:
        super().__init__(settings)
        self._environment = {name.upper(): value for name, value in environment.items()}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The text of the field's file, or None if no file is named."""
        name = field_name.upper()
        file = self._environment.get(name + SUFFIX)
        if not file or field_name + SUFFIX.lower() in self.settings_cls.model_fields:
            return None, field_name, False
        if self._environment.get(name):
            raise ValueError(f"{name} and {name}{SUFFIX} are both set; set only one")
        try:
            return Path(file).read_text().strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a text file"
            raise ValueError(f"{name}{SUFFIX}={file} cannot be read: {why}") from None

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: text for name, text in found.items() if text is not None}


class FileSettings(BaseSettings):
    """The base of settings, each of which may also be given as a file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments come first, then files, then the environment."""
        return init_settings, SettingsFromFiles(settings_cls), env_settings
