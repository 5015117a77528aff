"""Django's settings, all from the environment: see ``hugweb.env`` for the table."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import environ

from hugweb import __version__, env
from hugweb.home import ensure_folder, secret_key

try:
    ENV = env.read(os.environ)
except env.SettingError as error:
    sys.exit(f"hugweb: {error}")

BASE_DIR = Path(__file__).resolve().parent.parent
HOME: Path = ENV["HUGWEB_HOME"]
HOST: str = ENV["HUGWEB_HOST"]
PORT: int = ENV["HUGWEB_PORT"]
MODELS_PATH: Path = ENV["HUGGINGFACE_MODELS_PATH"]
MAX_BODY: int = ENV["HUGWEB_MAX_BODY"]
MAX_BLOB: int = ENV["HUGWEB_MAX_BLOB"]
MAX_CONNECTIONS: int = ENV["HUGWEB_MAX_CONNECTIONS"]
DRAIN_SECONDS: float = ENV["HUGWEB_DRAIN_TIMEOUT_MS"] / 1000
SEND_SECONDS: float = ENV["HUGWEB_SEND_TIMEOUT_MS"] / 1000
USAGE_DAYS: int = ENV["HUGWEB_USAGE_DAYS"]
STREAM_TIMEOUT_SECONDS: float = ENV["STREAM_TIMEOUT_MS"] / 1000
VISION_FALLBACK: bool = ENV["ENABLE_VISION_FALLBACK"]
RETRY_ATTEMPTS: int = ENV["RETRY_ATTEMPTS"]
RETRY_DELAY_SECONDS: float = ENV["RETRY_DELAY_MS"] / 1000
ALIASES_FILE: Path | None = ENV["HUGWEB_ALIASES_FILE"]
ENGINE_ADDRESS: str = ENV["ENGINE_ADDRESS"] or ""


# Where a proxy with TLS is in front of us: its origin is that of our own pages.
PUBLIC_ORIGIN: str = ENV["HUGWEB_PUBLIC_URL"] or ""


def is_private(host: str) -> bool:
    """Whether only this machine can reach us on ``host``: whoever reaches a proxy reaches us too."""
    try:
        return ipaddress.ip_address(host).is_loopback and not PUBLIC_ORIGIN
    except ValueError:
        return host == "localhost" and not PUBLIC_ORIGIN


ON_LOOPBACK = is_private(HOST)
EXTRA_HOSTS: tuple[str, ...] = (
    *(ENV["HUGWEB_ALLOWED_HOSTS"] or ()),
    *filter(None, [urlsplit(PUBLIC_ORIGIN).hostname]),
)
EXTRA_ORIGINS: tuple[str, ...] = ENV["OLLAMA_ORIGINS"] or ()

DEBUG = ENV["HUGWEB_DEBUG"] and ON_LOOPBACK
try:
    SECRET_KEY = secret_key(ensure_folder(HOME))
except OSError as error:
    sys.exit(
        f"hugweb: HUGWEB_HOME is {str(HOME)!r}, where nothing can be kept ({error.strerror});"
        " allowed is a folder of your own."
    )
# hugweb.guard checks the Host header on every path, websockets included; Django only on some.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "daphne",
    "unfold.apps.BasicAppConfig",
    "hugweb.apps.HugWebAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "hugweb",
    "hugweb.api.openai.stored",
    "inference",
    "inference.keys",
    "inference.usage",
    "aliases",
    "conversations",
]

# Every one can run async: a sync-only middleware would keep a view's cancellation from arriving.
MIDDLEWARE = [
    "hugweb.middleware.Security",
    "hugweb.middleware.ContentSecurityPolicy",
    "hugweb.middleware.Sessions",
    "hugweb.middleware.Common",
    "hugweb.middleware.Csrf",
    "hugweb.middleware.Authentication",
    "hugweb.middleware.Messages",
    "hugweb.middleware.FrameOptions",
]

ROOT_URLCONF = "hugweb.urls"
ASGI_APPLICATION = "hugweb.asgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

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
    }
]


def database(url: str) -> dict[str, Any]:
    """Django's entry for ``url``: SQLite with a write-ahead log and honest write transactions, PostgreSQL
    with a pool, since each request looks things up in its own thread, and a server lets in a hundred."""
    config = environ.Env.db_url_config(url)
    if config["ENGINE"].endswith("postgresql"):
        pool = {"min_size": 0, "max_size": 40, "timeout": 30}
        config["OPTIONS"] = {**config.get("OPTIONS", {}), "pool": pool}
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return config


DATABASES = {"default": database(ENV["DATABASE_URL"] or f"sqlite:///{quote(str(HOME / 'db.sqlite3'))}")}

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "chat"
LOGOUT_REDIRECT_URL = "login"
# Cookies ignore the port, so another server on this machine must not share the name.
SESSION_COOKIE_NAME = "hugweb_session"
CSRF_COOKIE_NAME = "hugweb_csrf"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = bool(PUBLIC_ORIGIN)
CSRF_TRUSTED_ORIGINS = [PUBLIC_ORIGIN] if PUBLIC_ORIGIN else []
CSRF_COOKIE_HTTPONLY = True
# The address printed at the start logs in once, within this time.
PASSWORD_RESET_TIMEOUT = 24 * 3600
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["hugweb.api.rest.access.Entered"],
    "DEFAULT_PERMISSION_CLASSES": ["hugweb.api.rest.access.Access"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["hugweb.api.rest.bodies.Json"],
    "DEFAULT_PAGINATION_CLASS": "hugweb.api.rest.paging.Pages",
    "DEFAULT_FILTER_BACKENDS": ["hugweb.api.rest.filters.Filters"],
    "DEFAULT_SCHEMA_CLASS": "hugweb.api.rest.schema.Schema",
    "EXCEPTION_HANDLER": "hugweb.api.rest.failures.answer",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "HugWeb",
    "DESCRIPTION": "Every API of this HugWeb. Where HEAD is answered, it is as GET is but for its body.",
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/rest/",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer"},
            "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
            "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE_NAME},
        }
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "hugweb.api.openapi.hook.complete",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

UNFOLD = {
    "SITE_TITLE": "HugWeb",
    "SITE_HEADER": "HugWeb",
    "SITE_URL": "/chat/",
    "SHOW_HISTORY": True,
    "STYLES": ["/static/css/admin.css"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/icon.svg"}],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} [{request_id}] {name}: {message}", "style": "{"}
    },
    "filters": {"ids": {"()": "inference.request_id.RequestIds"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["ids"]}},
    "root": {"handlers": ["stderr"], "level": ENV["HUGWEB_LOG_LEVEL"].upper()},
    "loggers": {
        "daphne": {"level": "WARNING"},
        "django.channels": {"level": "ERROR"},
        "httpx2": {"level": "WARNING"},
    },
}
