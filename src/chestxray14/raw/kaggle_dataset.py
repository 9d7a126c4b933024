"""Bring a dataset from Kaggle as one zip.

Kaggle's client says where it lies; the transfer itself is done here, because client 2.2.4 restarts
a resumed download from nothing whenever the storage answers it with an error (an expired address,
a passing 503).
"""

from pathlib import Path

import requests

from chestxray14.raw.fetch import Remote, fetch_file
from chestxray14.raw.kaggle_api import locate, stop_where_hopeless


def download_dataset(slug: str, folder: Path) -> Path:
    """Bring version `owner/name/version` of a Kaggle dataset to `folder/owner-name-version.zip`.

    Interruptions are retried as `fetch.fetch_file` says. Raises `InputError` as it does, and for
    missing or rejected credentials and a dataset that Kaggle does not give.
    """

    def find(within: float) -> Remote:
        try:
            return locate(slug, within=within)
        except requests.RequestException as error:
            stop_where_hopeless(error, slug)
            raise

    path = folder / f"{slug.replace('/', '-')}.zip"
    return fetch_file(path, name=slug, kind="zip", locate=find)
