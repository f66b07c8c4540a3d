"""What Docker's Compose file format allows of the keys that we write."""

from typing import Literal

from pydantic import Field

from fedlora.section import Section

MOUNT = r"^(\./[^:]*|\$\{\w+:-[^}]+\}|/[^:]*):/[^:]*(:ro)?$"
SECONDS = r"^\d+s$"


class Service(Section):
    build: str
    image: str = Field(pattern=r"^[a-z0-9./_-]+:[\w.-]+$")
    command: list[str]
    user: str = Field(pattern=r"^\$\{\w+:-\d+:\d+\}$")
    env_file: list[str]
    environment: dict[str, str]
    volumes: list[str]
    ports: list[str] = Field(default_factory=list)
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    read_only: bool
    tmpfs: list[str]
    cap_drop: list[str]
    security_opt: list[str]
    stop_grace_period: str = Field(pattern=SECONDS)


class Compose(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    services: dict[str, Service] = Field(min_length=1)
