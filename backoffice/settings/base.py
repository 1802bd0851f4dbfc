"""Django settings. Values that differ between installations come from :mod:`backoffice.settings.env`."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from backoffice.settings.env import ROOT, load
from backoffice.settings.unfold import UNFOLD as UNFOLD

KAURI = load()

BASE_DIR = ROOT
SECRET_KEY = KAURI.secret_key
DEBUG = KAURI.debug
ALLOWED_HOSTS = KAURI.allowed_hosts
CALLBACKS_PROCESS = os.environ.get("KAURI_PROCESS") == "callbacks"
ROOT_URLCONF = "backoffice.callbacks_urls" if CALLBACKS_PROCESS else "backoffice.urls"
WSGI_APPLICATION = "backoffice.wsgi.application"

DJANGO_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
]
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.simple_history",
    "backoffice.apps.BackOfficeConfig",
    "backoffice.apps.BackOfficeAdminConfig",
    *DJANGO_APPS,
    "django_otp",
    "guardian",
    "django_q",
    "simple_history",
    "ninja",
    "csp",
    "kauri.core",
    "kauri.account",
    "kauri.balance",
    "kauri.notification",
    "kauri.payment_provider",
    "kauri.wallet",
    "kauri.payment_card",
    "kauri.order_core",
    "kauri.deposit_order",
    "kauri.withdrawal_order",
    "kauri.internal_movement_order",
    "kauri.exchange_rate",
    "kauri.callbacks",
    "kauri.report",
]

MIDDLEWARE = [
    "backoffice.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "backoffice.middleware.ApiPathMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "backoffice.middleware.SessionLimitsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "backoffice.middleware.PlansForValuesMiddleware",
    "backoffice.middleware.ReadingMiddleware",
]
if CALLBACKS_PROCESS:
    # Payment systems need no sessions, pages or translations: the fewer rooms, the fewer doors.
    MIDDLEWARE = [
        "backoffice.middleware.RequestContextMiddleware",
        "django.middleware.security.SecurityMiddleware",
    ]

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
            ]
        },
    }
]


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    host = options.pop("host", None) or (unquote(parts.hostname) if parts.hostname else "")
    options |= {
        # Merge joins off: a page of details would read the index of all orders from its end down to where the page is.
        # Workers are for what reads millions of rows: to start them costs ten times what most pages' statements do.
        # A page out of order costs about what one in order does: nobody keeps books on turning disks.
        "options": "-c timezone=UTC -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
        " -c enable_mergejoin=off -c parallel_setup_cost=3000 -c random_page_cost=1.1",
        # Prepared at once: the ledger's one-statement postings are the same few texts for ever.
        "server_side_binding": True,
        "prepare_threshold": 1,
    }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        # No pool: forked workers that share a pool's sockets corrupt each other.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


DATABASES = {"default": _database(KAURI.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": KAURI.redis_url}
    if KAURI.redis_url
    else {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "core_cache"}
}

AUTH_USER_MODEL = "account.User"
AUTHENTICATION_BACKENDS = ["backoffice.backends.RoleBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("uk", "Українська"), ("ru", "Русский")]
LOCALE_PATHS = [ROOT / "templates" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [ROOT / "static"]
# Served from the apps' own folders: nothing to collect before a start.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
FILES_DIR = KAURI.state_dir / "files"

DATA_UPLOAD_MAX_MEMORY_SIZE = KAURI.callback_body_limit if CALLBACKS_PROCESS else KAURI.body_limit
# What customers and operators upload is personal: never a clear temporary file.
FILE_UPLOAD_HANDLERS = ["kauri.common.uploads.BoundedMemoryUploads"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = KAURI.session_hours * 3600
CSRF_COOKIE_HTTPONLY = False
CSRF_TRUSTED_ORIGINS = [KAURI.public_url]
if KAURI.public_url.startswith("https://"):
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Grants are read by kauri.common.scopes alone: the library's own backend is not asked.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
GUARDIAN_MONKEY_PATCH_USER = False
ANONYMOUS_USER_NAME = None

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        # Unfold's Alpine build evaluates its expressions; inline scripts stay forbidden.
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}

if KAURI.email_url:
    _mail = urlsplit(KAURI.email_url)
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST = _mail.hostname or ""
    EMAIL_PORT = _mail.port or 587
    EMAIL_HOST_USER = unquote(_mail.username or "")
    EMAIL_HOST_PASSWORD = unquote(_mail.password or "")
    EMAIL_USE_TLS = _mail.scheme == "smtp+tls"
    EMAIL_USE_SSL = _mail.scheme == "smtps"
    EMAIL_TIMEOUT = 15
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = KAURI.state_dir / "mail"
DEFAULT_FROM_EMAIL = KAURI.email_from

_CLUSTER = {
    "workers": 1,
    "timeout": 120,
    # The clock of ``retry`` starts when a task is prefetched, so it must outlast two of them.
    "retry": 300,
    "queue_limit": 1,
    "save_limit": -1,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "poll": 0.5,
    # Never by count: the watch (manage.py worker) takes a vanished process for a killed one.
    "recycle": 1_000_000_000,
    "bulk": 1,
    "orm": "default",
    "label": "Tasks",
    "scheduler": False,
}
Q_CLUSTER: dict[str, Any] = {
    **_CLUSTER,
    # The salt of queued tasks' signatures, so the same in every process. Which cluster a worker
    # serves is said by Q_CLUSTER_NAME.
    "name": "kauri",
    "ALT_CLUSTERS": {name: dict(_CLUSTER) for name in KAURI.cluster_names()},
}

NINJA_PAGINATION_MAX_LIMIT = 100

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "backoffice.middleware.RequestIdFilter"}},
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} [{request_id}] {message}", "style": "{"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"django.server": {"level": "WARNING"}, "django-q": {"level": "WARNING"}},
}

__all__ = [name for name in dir() if name.isupper()]
