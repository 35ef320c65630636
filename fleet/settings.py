"""All settings of Motorpool, from the environment; `.env.example` lists every variable."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext

from fleet import env
from fleet.api_settings import REST_FRAMEWORK, SPECTACULAR_SETTINGS
from fleet.lib.logs import logging_config

django_stubs_ext.monkeypatch()  # lets ModelAdmin[User] and its like stand at run time

ROOT = Path(__file__).resolve().parent.parent
env.load_file(ROOT / ".env")

# --- Kind of installation and its secrets -----------------------------------------------------------------

PRODUCTION = env.choice("ENVIRONMENT", "production", ("production", "development")) == "production"
DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.secret_key(PRODUCTION)
FIELD_ENCRYPTION_KEYS = env.encryption_keys(PRODUCTION)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ("127.0.0.1", "localhost"))
if PRODUCTION and DEBUG:
    raise env.ConfigurationError("DEBUG is on in production: turn it off, or set ENVIRONMENT=development.")
if PRODUCTION and "*" in ALLOWED_HOSTS:
    raise env.ConfigurationError("ALLOWED_HOSTS is '*' in production: name the hosts that serve the portal.")

BASE_URL = env.text("BASE_URL", "http://127.0.0.1:8000").rstrip("/")
if urlsplit(BASE_URL).scheme not in ("http", "https") or not urlsplit(BASE_URL).hostname:
    raise env.ConfigurationError("BASE_URL must be the portal's address, such as https://fleet.example.com.")
HTTPS = BASE_URL.startswith("https://")
TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXY_COUNT", 0, 0, 10)
if PRODUCTION and HTTPS and not TRUSTED_PROXY_COUNT:
    raise env.ConfigurationError("BASE_URL is https, but TRUSTED_PROXY_COUNT is 0: how many proxies stand in front?")

# --- Applications -----------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "fleet.apps.FleetConfig",
    "fleet.accounts",
    "vehicles",
    "telemetry",
    "alerts.apps.AlertsConfig",
    "integrations",
    "integrations.sources.smartcar",
    "fleet.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "corsheaders",
]
MIDDLEWARE = [
    "fleet.pages.ProbesMiddleware",
    "fleet.requests_log.RequestLogMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "fleet.accounts.sessions.DigestSessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "fleet.accounts.middleware.OrganizationMiddleware",
    "fleet.accounts.middleware.SecretsMiddleware",
]
ROOT_URLCONF = "fleet.urls"
ASGI_APPLICATION = "fleet.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "fleet.accounts.context.portal",
            ]
        },
    }
]

# --- Databases --------------------------------------------------------------------------------------------

DATABASES = {"default": env.database()}
# Persistent connections leak under ASGI; a pool does not. Celery's processes use none (DATABASE_POOL_SIZE=0).
DATABASE_POOL_SIZE = env.number("DATABASE_POOL_SIZE", 0, 0, 100)
DATABASES["default"]["CONN_MAX_AGE"] = 0
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 2)
# Of the web process (fleet.web sets it): no page or API call holds a connection and a thread longer than this.
STATEMENT_TIMEOUT_S = env.number("STATEMENT_TIMEOUT_S", 0, 0, 3_600)
if STATEMENT_TIMEOUT_S:
    _given = DATABASES["default"]["OPTIONS"].get("options", "")
    DATABASES["default"]["OPTIONS"]["options"] = f"{_given} -c statement_timeout={STATEMENT_TIMEOUT_S}s".strip()
if DATABASE_POOL_SIZE:
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 2,
        "reconnect_timeout": 1,
    }
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
REDIS_URL = env.redis_address()
CACHES = {
    "default": {
        "BACKEND": "fleet.lib.cache.SafeRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "motorpool",
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}

# --- Accounts ---------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["fleet.accounts.backends.LimitedBackend"]
PASSWORD_HASHERS = ["fleet.accounts.hashers.PasswordHasher"]
PASSWORD_ROUNDS = env.number("PASSWORD_ROUNDS", 12, 12 if HTTPS else 4, 16)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_ADAPTER = "fleet.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email", "username"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username", "password1*"]
_MAIL = env.email()
_CONFIRM = "mandatory" if env.reaches_people(_MAIL) else "optional"
ACCOUNT_EMAIL_VERIFICATION = env.choice("EMAIL_VERIFICATION", _CONFIRM, ("mandatory", "optional", "none"))
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Motorpool] "
# Failed sign-ins are limited by `fleet.accounts.limits`, which counts nothing else and does without the cache.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None}
_FORMS = "fleet.accounts.forms"
ACCOUNT_USERNAME_VALIDATORS = f"{_FORMS}.username_validators"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Motorpool"
MFA_TOTP_TOLERANCE = 1  # a code that changes while it travels still counts (RFC 6238, section 5.2)
MFA_FORMS = {"authenticate": f"{_FORMS}.SecondFactorForm", "reauthenticate": f"{_FORMS}.ConfirmForm"}
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS
USERSESSIONS_TRACK_ACTIVITY = True
SESSION_ENGINE = "fleet.accounts.sessions"
AUDIT_DAYS = env.number("AUDIT_DAYS", 730, 30, 36_500)
STAFF_MFA = env.flag("STAFF_MFA", PRODUCTION and HTTPS)
KNOWN_BROWSER_COOKIE = "__Host-browser" if HTTPS else "motorpool-browser"
METRICS_TOKEN = env.text("METRICS_TOKEN", "")
API_CALLS_PER_MINUTE = env.number("API_CALLS_PER_MINUTE", 600, 1, 1_000_000)
CORS_ALLOWED_ORIGINS = env.origins("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
DEVICE_KEY_KNOWN = "vehicles.services.device_key_known"
SIGNUP_OPEN = env.flag("SIGNUP_OPEN", True)
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
globals().update(_MAIL)
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"Motorpool <motorpool@{urlsplit(BASE_URL).hostname}>")

# --- Integrations -----------------------------------------------------------------------------------------

OUTBOUND_HOSTS = env.hosts("OUTBOUND_HOSTS")
ALERT_EMAIL_TO = env.alert_addresses()
INTERNAL_URL = env.text("INTERNAL_URL", BASE_URL).rstrip("/")
MQTT = env.mqtt()
SMARTCAR = env.smartcar(BASE_URL)

# --- HTTP and its security --------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "motorpool-session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "motorpool-csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
CSRF_TRUSTED_ORIGINS = [BASE_URL]
CSRF_FAILURE_VIEW = "fleet.pages.csrf_failure"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        # Connecting a car leads from a form to the maker's cloud.
        "form-action": ["'self'", SMARTCAR["connect_url"]],
        "frame-ancestors": ["'none'"],
    }
}
# A body is bounded by `fleet.lib.asgi` before Django sees it; these are the second line.
BODY_LIMIT = env.number("BODY_LIMIT", 1_000_000, 10_000, 100_000_000)
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1_000
APPEND_SLASH = False

STATIC_URL = "/static/"
STATIC_ROOT = env.text("STATIC_ROOT", str(ROOT / "staticfiles"))
STATICFILES_DIRS = [ROOT / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_MAX_AGE = 3600

# --- API: the rest of it is in fleet.api_settings ---------------------------------------------------------

__all__ = ["REST_FRAMEWORK", "SPECTACULAR_SETTINGS"]
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.number("ACCESS_TOKEN_EXPIRE_MINUTES", 30, 1, 1440)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.number("REFRESH_TOKEN_EXPIRE_DAYS", 14, 1, 365)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "ALGORITHM": "HS256",
    "CHECK_REVOKE_TOKEN": True,
}

# --- Telemetry --------------------------------------------------------------------------------------------

PARTITION_DAYS = env.number("PARTITION_DAYS", 7, 1, 366)
SIGNAL_QUOTA = env.number("SIGNAL_QUOTA", 1_000, 0, 100_000)
OFFLINE_AFTER_SECONDS = env.number("OFFLINE_AFTER_SECONDS", 1_800, 10, 604_800)
INGEST_CONNECTIONS = env.number("INGEST_CONNECTIONS", 2, 1, 32)
KEY_CACHE_SECONDS = env.number("KEY_CACHE_SECONDS", 10, 0, 60)

# --- Celery -----------------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_USE_SSL = env.broker_tls(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "health_check_interval": 25,
    "global_keyprefix": "motorpool:celery:",
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# The soft limit ends a task with an error; the hard one kills its process, and with it messages that are on their way.
CELERY_TASK_SOFT_TIME_LIMIT = 120
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# --- Language, time, logs ---------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
LOGGING_CONFIG = None
LOG_LEVEL = env.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error"))
LOG_FORMAT = env.choice("LOG_FORMAT", "json", ("json", "console"))
LOG_FILE = env.text("LOG_FILE", "")
logging_config(LOG_LEVEL, LOG_FORMAT, LOG_FILE)
