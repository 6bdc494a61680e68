"""Replaces tests/docker_client.py of aio-pika: the "container" is the
rabbitmq-server that runs on localhost."""
from dataclasses import dataclass, field


class DockerNotAvailableError(Exception):
    pass


@dataclass
class DockerHostInfo:
    is_tcp: bool = False


@dataclass
class ContainerInfo:
    id: str = "local"
    host: str = "localhost"
    ports: dict = field(
        default_factory=lambda: {"5672/tcp": 5672, "5671/tcp": 5671}
    )


def check_docker_available():
    return DockerHostInfo()


class DockerClient:
    def __init__(self, info=None):
        pass

    def run(self, image, ports, environment=None):
        return ContainerInfo()

    def kill(self, container_id):
        pass

    def remove(self, container_id):
        pass
