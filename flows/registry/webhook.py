"""A webhook of an MLflow server on new versions and moved aliases, for whoever follows the registry and not us.

MLflow's server sends it; a store in a file or a database that is written directly has none.
https://mlflow.org/docs/latest/ml/webhooks/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from flows.registry.mlflow_store import Registry

NAME = "switchtender"


def keep_webhook(registry: Registry, address: SecretStr) -> bool:
    """Let the server tell an address of new versions and aliases; returns False where the store has no webhooks.

    Raises:
        SwitchtenderError: the server cannot be reached, or takes no such address.
    """
    if not registry.project.tracking_uri.startswith(("http://", "https://")):
        return False
    url = address.get_secret_value()
    with registry.reaching("the registry's webhook"), _without(url):
        client = registry.client
        known = next((one for one in client.list_webhooks(max_results=100) if one.name == NAME), None)
        if known is None:
            client.create_webhook(NAME, url, ["model_version.created", "model_version_alias.created"])
        elif known.url != url:
            client.update_webhook(known.webhook_id, url=url)
    return True


@contextmanager
def _without(secret: str) -> Iterator[None]:
    """MLflow's own messages name the address that they refuse, with the password in it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise MlflowException(str(error).replace(secret, "the address")) from None
