"""REST: who is asked how, how often, and how it is described."""

from marketplace.settings.base import BEHIND_PROXY, VERSION, env

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
