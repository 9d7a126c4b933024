"""Ask Kaggle, through its own client, where a dataset's zip lies.

The answer is a signed address that lives for a while. The client prints help, settings and, in its
errors, credentials: nothing of its own words goes further than here.
"""

import contextlib
import io
import signal
from collections.abc import Iterator
from types import FrameType

import requests

from chestxray14.base.errors import InputError
from chestxray14.raw.fetch import Remote, look_at, read_headers

PUBLIC = "https://www.kaggle.com/api/v1/datasets/download"
"""Where Kaggle gives public datasets to everybody; its own curl line leads there."""

NO_CREDENTIALS = (
    "Kaggle credentials are missing or rejected: put an API token from"
    " https://www.kaggle.com/settings in KAGGLE_API_TOKEN, or kaggle.json in ~/.kaggle (see README)"
)


def locate(slug: str, *, within: float) -> Remote:
    """Ask Kaggle for a signed address of version `owner/name/version` and look at what is there.

    Without credentials the public address is asked, which most datasets have. Raises `InputError`
    for settings or credentials that cannot be used, where that address is refused, and
    `requests.RequestException` for any other answer. No wait for one lasts longer than `within`
    seconds. To be called from the main thread, where alone signals arrive.
    """
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    owner, name, version = slug.split("/")
    # The client prints twenty lines of help to stdout where it has no credentials.
    with contextlib.redirect_stdout(io.StringIO()), _deadline(within):
        try:
            # Importing it signs in and makes a settings folder.
            from kaggle.api.kaggle_api_extended import KaggleApi

            api = KaggleApi()
            try:
                api.authenticate()
            except SystemExit:
                return _look_without_credentials(slug, within=within)
            request = ApiDownloadDatasetRequest()
            request.owner_slug = owner
            request.dataset_slug = name
            request.dataset_version_number = int(version)
            with api.build_kaggle_client() as client:
                response = client.datasets.dataset_api_client.download_dataset(request)
        except requests.RequestException:
            raise
        except (SystemExit, AttributeError, TypeError, ValueError):
            # Settings the client trips over, a token that is no HTTP header: its text is in there.
            raise InputError(NO_CREDENTIALS) from None
        except OSError as error:
            # Never its file name: the client takes a token for one, and a long one cannot be.
            raise InputError(
                f"Kaggle's client cannot read its settings ({error.strerror}): check "
                "KAGGLE_API_TOKEN and ~/.kaggle, or name a folder in KAGGLE_CONFIG_DIR"
            ) from None
    with response:
        return read_headers(response)


def _look_without_credentials(slug: str, *, within: float) -> Remote:
    owner, name, version = slug.split("/")
    url = f"{PUBLIC}/{owner}/{name}?datasetVersionNumber={version}"
    try:
        return look_at(url, within, name=slug)
    except InputError:
        raise InputError(
            f"{slug}: Kaggle does not give it without credentials. {NO_CREDENTIALS}"
        ) from None


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Interrupt each wait that lasts longer: the client waits for a silent server for ever.

    Again and again, since the client signs in when imported and passes over what stops it then,
    and urllib3 goes on with a host's next address.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise requests.Timeout

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stop_where_hopeless(error: requests.RequestException, slug: str) -> None:
    """Raise `InputError` where Kaggle's answer will be the same the next time.

    Only calls of its API are posts; what the storage says may pass with a fresh address.
    """
    response = error.response
    if response is None or response.request.method != "POST":
        return
    status = response.status_code
    if not 400 <= status < 500 or status in (408, 429):  # a timeout, too many requests
        return
    signing_in = not str(response.request.url).endswith("/DownloadDataset")
    if signing_in or status == 401:
        raise InputError(NO_CREDENTIALS) from None
    page = f"https://www.kaggle.com/datasets/{slug.rpartition('/')[0]}"
    refusals = {
        403: f"gives no access (403); sign in at {page} and accept its terms",
        404: f"has no such dataset or version (404); see {page}",
    }
    refusal = refusals.get(status, f"refuses the request ({status}); see {page}")
    raise InputError(f"{slug}: Kaggle {refusal}") from None
