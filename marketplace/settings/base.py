"""Django settings from the environment.

Secure by default: without ``DEBUG=1`` a ``SECRET_KEY`` and ``ALLOWED_HOSTS`` are required, cookies are secure and HTTP
is redirected to HTTPS unless ``INSECURE_HTTP=1`` says that this instance is served without TLS (the demo).
"""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from inference_worker.contracts.bases import base_name, base_source
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

# --- limits ----------------------------------------------------------------------------------------------------------
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", default=2 * 1024**3)
UPLOAD_MAX_FILES = env.int("UPLOAD_MAX_FILES", default=64)
# The worker that checks the config reads the same variable.
UPLOAD_MAX_CONFIG_BYTES = env.int("CHECK_MAX_CONFIG_BYTES", default=1_000_000)
UPLOAD_MAX_CARD_BYTES = env.int("UPLOAD_MAX_CARD_BYTES", default=1_000_000)
# An archive may have so many entries; beyond the bytes it may hold at most so many times its packed size.
ZIP_MAX_ENTRIES = env.int("ZIP_MAX_ENTRIES", default=1000)
ZIP_MAX_RATIO = env.int("ZIP_MAX_RATIO", default=50)
ZIP_RATIO_FROM_BYTES = env.int("ZIP_RATIO_FROM_BYTES", default=64 << 20)
# Uploads that nobody published are forgotten after this many days.
UPLOAD_KEEP_DAYS = env.int("UPLOAD_KEEP_DAYS", default=7)
# Deleted adapters can be restored for this many days; then their files go.
RESTORE_DAYS = env.int("RESTORE_DAYS", default=30)
# What is deleted and can be restored may be as many quotas as this beside what is there.
DELETED_QUOTAS = env.float("DELETED_QUOTAS", default=1.0)
# Files of an adapter that moderators removed are kept this long, for an appeal.
REMOVED_KEEP_DAYS = env.int("REMOVED_KEEP_DAYS", default=30)
# Notifications are forgotten after so many days, read or not.
NOTIFICATION_KEEP_DAYS = env.int("NOTIFICATION_KEEP_DAYS", default=180)
# An account is erased this many days after its owner deleted it; until then they can take it back.
ACCOUNT_GRACE_DAYS = env.int("ACCOUNT_GRACE_DAYS", default=7)
# Whoever was refused access to a gated adapter may ask again after so many days.
ACCESS_ASK_AGAIN_DAYS = env.int("ACCESS_ASK_AGAIN_DAYS", default=7)
# A file that arrives in pieces is forgotten when nothing came for so many hours.
UPLOAD_PARTIAL_HOURS = env.float("UPLOAD_PARTIAL_HOURS", default=48)
# How many such files one user may have under way.
UPLOAD_MAX_PARTIALS = env.int("UPLOAD_MAX_PARTIALS", default=128)
# A sender who is silent for longer, or slower over half a minute, has to begin or go on again.
UPLOAD_SILENCE_SECONDS = env.float("UPLOAD_SILENCE_SECONDS", default=60)
UPLOAD_MIN_BYTES_PER_SECOND = env.int("UPLOAD_MIN_BYTES_PER_SECOND", default=1024)
USER_QUOTA_BYTES = env.int("USER_QUOTA_BYTES", default=10 * 1024**3)
# Adapters from elsewhere. The fetch worker reads IMPORT_ALLOWED_HOSTS (and tokens, proxy, certificates) itself.
IMPORT_HUB_URL = env.str("IMPORT_HUB_URL", default="https://huggingface.co").rstrip("/")
IMPORT_ALLOWED_HOSTS = [host.lower() for host in env.list("IMPORT_ALLOWED_HOSTS", default=[])]
IMPORT_SECONDS = env.int("IMPORT_SECONDS", default=3600)
# What the exports of one person may take together, and how long each is kept.
EXPORT_MAX_BYTES = env.int("EXPORT_MAX_BYTES", default=40 * 1024**3)
EXPORT_KEEP_DAYS = env.float("EXPORT_KEEP_DAYS", default=2.0)
# Every accepted adapter is run on its own examples and its base's probes.
EVALUATE_UPLOADS = env.bool("EVALUATE_UPLOADS", default=True)
# Of each adapter and mix the newest runs on each suite are kept, and all that are younger than so many days. What a
# page shows, and what checks of watched things are held against, is kept beyond.
EVALUATION_KEEP_RUNS = env.int("EVALUATION_KEEP_RUNS", default=5)
EVALUATION_KEEP_DAYS = env.int("EVALUATION_KEEP_DAYS", default=90)
# Suites of examples that people upload: how large one may be, and how many one person may have.
SUITE_MAX_BYTES = env.int("SUITE_MAX_BYTES", default=1_000_000)
SUITE_MAX_EXAMPLES = env.int("SUITE_MAX_EXAMPLES", default=1000)
SUITES_PER_PERSON = env.int("SUITES_PER_PERSON", default=50)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
# The upload handler counts first, and in words.
DATA_UPLOAD_MAX_NUMBER_FILES = UPLOAD_MAX_FILES + 1
FILE_UPLOAD_MAX_MEMORY_SIZE = 262_144
# Views that take files receive them by ``adapters.uploads.handler``; everywhere else a file is refused.
FILE_UPLOAD_HANDLERS = ["marketplace.core.no_files.RefuseFiles"]

# --- jobs and models -------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=REDIS_URL)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "marketplace"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A request must not hang on a broker that is away: the job stays queued and the reaper sends it later.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "max_retries": 1, "interval_start": 0}
# Workers read the same variable JOB_HEARTBEAT_SECONDS.
JOB_HEARTBEAT_SECONDS = env.float("JOB_HEARTBEAT_SECONDS", default=3.0)
JOB_REAPER_SECONDS = env.float("JOB_REAPER_SECONDS", default=5.0)
JOB_RESEND_SECONDS = env.float("JOB_RESEND_SECONDS", default=15.0)
JOB_DOCUMENTS_DAYS = env.float("JOB_DOCUMENTS_DAYS", default=7.0)
# Evaluations that one person asked for, previews and sweeps, so many of each, may be under way at once.
JOBS_OPEN_PER_PERSON = env.int("JOBS_OPEN_PER_PERSON", default=20)
# Settings that one person's sweeps of merges may measure within an hour: each is a merge and an evaluation.
SWEEP_POINTS_PER_HOUR = env.int("SWEEP_POINTS_PER_HOUR", default=256)
# How often it is looked for what is to be evaluated again, and for what came out; and how many adapters and mixes one
# person may have evaluated regularly.
REGRESSION_SECONDS = env.float("REGRESSION_SECONDS", default=300.0)
REGRESSION_MAX_WATCHES = env.int("REGRESSION_MAX_WATCHES", default=20)
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # A tick that comes late is dropped: the next one does its work.
    "reap-jobs": {
        "task": "marketplace.reap_jobs",
        "schedule": JOB_REAPER_SECONDS,
        "options": {"expires": max(JOB_REAPER_SECONDS, 1.0)},
    },
    "collect-garbage": {"task": "marketplace.collect_garbage", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "collect-partial-uploads": {
        "task": "marketplace.collect_partial_uploads",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "collect-job-documents": {"task": "marketplace.collect_job_documents", "schedule": 3600.0},
    "recheck-jobs": {"task": "marketplace.recheck_jobs", "schedule": 60.0, "options": {"expires": 60.0}},
    "mail-decisions": {"task": "marketplace.mail_decisions", "schedule": 60.0, "options": {"expires": 60.0}},
    # Bases ask for it when they become known; this catches up on what the broker lost.
    "link-bases": {"task": "marketplace.link_bases", "schedule": 300.0, "options": {"expires": 300.0}},
    # Uploads ask for it when they are accepted; this catches up on what the broker lost and on bases that came later.
    "evaluate-overdue": {"task": "marketplace.evaluate_overdue", "schedule": 300.0, "options": {"expires": 300.0}},
    "erase-accounts": {"task": "marketplace.erase_accounts", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "forget-examples": {"task": "marketplace.forget_examples", "schedule": 300.0, "options": {"expires": 300.0}},
    "evaluate-mixes": {"task": "marketplace.evaluate_mixes", "schedule": 300.0, "options": {"expires": 300.0}},
    "check-regressions": {
        "task": "marketplace.check_regressions",
        "schedule": REGRESSION_SECONDS,
        "options": {"expires": REGRESSION_SECONDS},
    },
    "prune-evaluations": {
        "task": "marketplace.prune_evaluations",
        "schedule": 86400.0,
        "options": {"expires": 86400.0},
    },
    "forget-checks": {"task": "marketplace.forget_checks", "schedule": 86400.0, "options": {"expires": 86400.0}},
    "forget-notifications": {
        "task": "marketplace.forget_notifications",
        "schedule": 86400.0,
        "options": {"expires": 86400.0},
    },
    "tend-vectors": {"task": "marketplace.tend_vectors", "schedule": 900.0, "options": {"expires": 900.0}},
}
# Kind of job -> its own limits, for example {"merge": {"memory_mb": 16384, "seconds": 7200}}.
JOB_LIMITS = env.json("JOB_LIMITS", default={})
ENCODER = env.str("ENCODER", default="all-MiniLM-L6-v2")
# A directory counts by its last part, in the marketplace as in the workers.
_default_base = env.str("DEFAULT_BASE", default="wordsmith-v1")
DEFAULT_BASE, DEFAULT_BASE_SOURCE = base_name(_default_base), base_source(_default_base)
DEFAULT_BASE_REVISION = env.str("DEFAULT_BASE_REVISION", default="")
GENERATION_SECONDS = env.float("GENERATION_SECONDS", default=120)
GENERATION_START_SECONDS = env.float("GENERATION_START_SECONDS", default=60)
PLAYGROUND_ANONYMOUS = env.bool("PLAYGROUND_ANONYMOUS", default=True)
QUERY_TIMEOUT_SECONDS = env.float("QUERY_TIMEOUT_SECONDS", default=0.3)

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

# --- REST ------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "marketplace.accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["marketplace.accounts.authentication.ScopePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["marketplace.core.parsers.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "marketplace.core.negotiation.ForgivingNegotiation",
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "marketplace.core.translator.translate_for_rest",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "anon": env.str("THROTTLE_ANON", default="120/min"),
        "user": env.str("THROTTLE_USER", default="600/min"),
        "upload": env.str("THROTTLE_UPLOAD", default="60/min"),
        "compare": env.str("THROTTLE_COMPARE", default="120/min"),
        "compare_anon": env.str("THROTTLE_COMPARE_ANON", default="30/min"),
        "preview": env.str("THROTTLE_PREVIEW", default="240/min"),
        "partial_upload": env.str("THROTTLE_PARTIAL_UPLOAD", default="600/min"),
        "piece": env.str("THROTTLE_PIECE", default="6000/min"),
        "merge": env.str("THROTTLE_MERGE", default="120/min"),
        "verdict": env.str("THROTTLE_VERDICT", default="240/min"),
        "verdict_anon": env.str("THROTTLE_VERDICT_ANON", default="60/min"),
        "import": env.str("THROTTLE_IMPORT", default="30/min"),
        "export": env.str("THROTTLE_EXPORT", default="20/min"),
        "evaluate": env.str("THROTTLE_EVALUATE", default="60/min"),
        "generate": env.str("THROTTLE_GENERATE", default="60/min"),
        "report": env.str("THROTTLE_REPORT", default="20/hour"),
        "report_anon": env.str("THROTTLE_REPORT_ANON", default="5/hour"),
        "access": env.str("THROTTLE_ACCESS", default="20/hour"),
        "letter": env.str("THROTTLE_LETTER", default="30/hour"),
        "token": env.str("THROTTLE_TOKEN", default="30/hour"),
        "confirm": env.str("THROTTLE_CONFIRM", default="10/hour"),
        "account_export": env.str("THROTTLE_ACCOUNT_EXPORT", default="20/hour"),
    },
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Brickyard",
    "DESCRIPTION": "Upload, find, merge and try LoRA adapters.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "BaseStateEnum": "marketplace.bases.models.Base.State",
        "EvaluationStateEnum": "marketplace.evaluations.models.EvaluationRun.State",
        "SuiteKindEnum": "marketplace.evaluations.models.EvaluationSuite.Kind",
        "AdapterVisibilityEnum": "marketplace.adapters.models.Adapter.Visibility",
        "SuiteVisibilityEnum": "marketplace.evaluations.models.EvaluationSuite.Visibility",
        "JobStateEnum": "marketplace.jobs.models.Job.State",
        "TokenScopeEnum": "marketplace.accounts.models.Token.Scope",
    },
}
