"""Django settings from the environment.

Secure by default: without ``DEBUG=1`` a ``SECRET_KEY`` and ``ALLOWED_HOSTS`` are required, cookies are secure and HTTP
is redirected to HTTPS unless ``INSECURE_HTTP=1`` says that this instance is served without TLS (the demo). What people
may take is in ``limits``, jobs and the clock in ``jobs``, the API in ``rest``.
"""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from marketplace.settings.environment import complete_environment
from marketplace.settings.logging import configure_structlog, logging_settings

env = environ.Env()


def next_redis_database(url: str) -> str:
    """The same server's next database: ``redis://host/0`` → ``redis://host/1``, ``unix:///socket?db=0`` → ``db=1``."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix" or "db" in query:
        query["db"] = str(int(query.get("db", "0")) + 1)
        return f"{url.partition('?')[0]}?{urlencode(query)}"
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + 1}"))


BASE_DIR = Path(__file__).resolve().parent.parent.parent
complete_environment(BASE_DIR)
VERSION = "0.1.0"

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is not set: put a long random string into the environment")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
SITE_URL = env.str("SITE_URL", default="http://localhost:8000").rstrip("/")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[SITE_URL])

# --- security --------------------------------------------------------------------------------------------------------
INSECURE_HTTP = env.bool("INSECURE_HTTP", default=False)
SECURE_SSL_REDIRECT = not INSECURE_HTTP
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_HSTS_SECONDS = 0 if INSECURE_HTTP else env.int("HSTS_SECONDS", default=31_536_000)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = not INSECURE_HTTP
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = not INSECURE_HTTP
CSRF_FAILURE_VIEW = "marketplace.core.error_pages.csrf_failure"
X_FRAME_OPTIONS = "DENY"

# --- applications ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "marketplace.core",
    "marketplace.accounts",
    "marketplace.moderation",
    "marketplace.bases",
    "marketplace.jobs",
    "marketplace.adapters",
    "marketplace.catalog",
    "marketplace.compositions",
    "marketplace.playground",
    "marketplace.notifications",
    "marketplace.regressions",
    "marketplace.likes",
    "marketplace.evaluations",
]
MIDDLEWARE = [
    "marketplace.core.health.middleware.RequestMetrics",
    "marketplace.core.health.probes.Probes",
    "django.middleware.security.SecurityMiddleware",
    "marketplace.core.csp.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "marketplace.core.middleware.ErrorPages",
    "marketplace.accounts.middleware.ClosingAccounts",
    "marketplace.adapters.middleware.AdapterAddresses",
]
ROOT_URLCONF = "marketplace.urls"
ASGI_APPLICATION = "marketplace.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- data ------------------------------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {"default": env.db("DATABASE_URL")}
DATABASES["default"].update(
    {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 0,
        # A restarted server leaves dead connections in the pool; each is tried before it is handed out.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **DATABASES["default"].get("OPTIONS", {}),
            "pool": {
                "min_size": 1,
                "max_size": env.int("DATABASE_POOL", default=12),
                "timeout": 10,
            },
        },
    }
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.str("REDIS_URL")
BLOB_STORE_URL = env.str("BLOB_STORE_URL", default=f"file://{BASE_DIR / '.brickyard' / 'blobs'}")
#: A database of its own beside the broker's: clearing a cache empties its whole database.
CACHE_URL = env.str("CACHE_URL", default=next_redis_database(REDIS_URL))
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": CACHE_URL}}

# --- people ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "/account/login/"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = env.str("EMAIL_VERIFICATION", default="optional")
ACCOUNT_USERNAME_MIN_LENGTH = 2
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_ADAPTER = "marketplace.accounts.allauth_adapter.AccountAdapter"
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", default=True)
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Brickyard: "
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
# How often an address (ip), an account or e-mail (key) or a signed-in person (user) may try.
ACCOUNT_RATE_LIMITS = {
    "login": env.str("THROTTLE_LOGIN", default="30/m/ip"),
    "login_failed": env.str("THROTTLE_LOGIN_FAILED", default="10/m/ip,5/5m/key"),
    "signup": env.str("THROTTLE_SIGNUP", default="20/m/ip"),
    "reset_password": env.str("THROTTLE_RESET_PASSWORD", default="20/m/ip,5/m/key"),
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
}
# Without a proxy in front, addresses in headers are whatever the sender likes.
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if BEHIND_PROXY else 0
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="brickyard@localhost")
# Who is mailed when a check of an upload crashes; without any address, the superusers. One cause is mailed once in this
# time, and logged every time.
ADMINS = [("Operator", address) for address in env.list("OPERATOR_EMAILS", default=[])]
ALERT_EVERY_SECONDS = env.int("ALERT_EVERY_SECONDS", default=3600)

# --- logs and metrics ------------------------------------------------------------------------------------------------
configure_structlog()
LOGGING = logging_settings(env.str("LOG_FORMAT", default="json"), env.str("LOG_LEVEL", default="INFO").upper())
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# Without a token, a site on the net shows its metrics to its own machine only.
METRICS_OPEN = DEBUG or INSECURE_HTTP

# --- static files, language, time ------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
APPEND_SLASH = False
