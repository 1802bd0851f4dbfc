"""The admin site: staff only, e-mail and password, then a second factor."""

from __future__ import annotations

import base64
import io
import time
from typing import Any, Final

import qrcode
from django import forms
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth import login as auth_login
from django.contrib.auth.views import LogoutView
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models.base import ModelBase
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.i18n import set_language
from django_otp import login as otp_login
from django_otp.util import random_hex
from qrcode.image.svg import SvgPathFillImage
from unfold.sites import UnfoldAdminSite
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminPasswordToggleWidget,
    UnfoldAdminTextInputWidget,
)

from backoffice import dashboard, exports, my_telegram, navigation, views_bar
from backoffice.lists import admin_of
from kauri.account.models import SignIn, TOTPDevice, User
from kauri.account.services import totp_verify
from kauri.account.sessions import sign_in_record, throttle_sign_in
from kauri.common.errors import KauriError, text_for
from kauri.common.locks import lock

#: What the session keeps between the password and the code: nobody is signed in yet.
PENDING: Final = "sign_in"
PENDING_SECONDS: Final = 600
HIDDEN_APPS: Final = frozenset({"django_q"})

Answer = HttpResponse | TemplateResponse


class PasswordForm(forms.Form):
    """The first page: who, and the password."""

    email = forms.EmailField(
        label=_("E-mail"),
        widget=UnfoldAdminEmailInputWidget(attrs={"autofocus": True, "autocomplete": "username"}),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=1024,
        widget=UnfoldAdminPasswordToggleWidget(attrs={"autocomplete": "current-password"}),
    )


class CodeForm(forms.Form):
    """The second page: the code that the authenticator shows."""

    code = forms.CharField(
        label=_("Code from the authenticator"),
        max_length=12,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autofocus": True, "autocomplete": "one-time-code", "inputmode": "numeric"}
        ),
    )

    def clean_code(self) -> str:
        return "".join(self.cleaned_data["code"].split())


class BackOfficeSite(UnfoldAdminSite):
    """No second factor, no entry."""

    index_title = _("Desk")
    site_title = "Kauri"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Other libraries' own screens stay out: queue rows are pickles, a device's secret is nobody's."""
        models = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else model_or_iterable
        shown = [model for model in models if model._meta.app_label not in HIDDEN_APPS]
        super().register(shown, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and request.user.is_verified()

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Made when it is looked at: every page carries it, and hardly any shows it."""
        made = super().get_app_list
        return SimpleLazyObject(lambda: made(request, app_label))

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [
            path("login/code/", self.login_code, name="login_code"),
            path("login/enrol/", self.login_enrol, name="login_enrol"),
            path("language/", set_language, name="language"),
            path(
                "export/<str:app>/<str:model>.<str:file_format>", self.admin_view(self.export), name="export"
            ),
            path("telegram/", self.admin_view(self.my_telegram), name=my_telegram.NAME),
            path("list/<str:app>/<str:model>/<str:what>/", self.admin_view(views_bar.act), name="list_act"),
            path("desk/", self.admin_view(self.desk), name="desk"),
            *super().get_urls(),
        ]

    def desk(self, request: HttpRequest) -> Answer:
        """The desk's figures alone: the page asks for them every few seconds."""
        return TemplateResponse(request, "admin/desk/figures.html", dashboard.figures(request))

    def my_telegram(self, request: HttpRequest) -> HttpResponse:
        """Every operator's own page."""
        request.current_app = self.name  # type: ignore[attr-defined]
        return my_telegram.page(request, self.each_context(request))

    def export(self, request: HttpRequest, app: str, model: str, file_format: str) -> Answer | FileResponse:
        """A list as a file."""
        return exports.export(request, admin_of(f"{app}.{model}"), file_format)

    def list_state(self, request: HttpRequest, screen: Any) -> Any:
        """How the operator looks at a list: views, columns, what it opens with."""
        return views_bar.state_of(request, screen)

    def list_bar(self, request: HttpRequest, found: Any) -> Any:
        """What stands above a list."""
        return views_bar.bar_of(request, found)

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Answer:
        """The command palette: exact ids first, then screens. Not cached: rights and rows change."""
        term = request.GET.get("s", "").strip()
        if not term:
            return HttpResponse()
        started = time.monotonic()
        found = [
            *navigation.find(request, term),
            *self._search_apps(self.get_app_list(request), term.lower()),
        ]
        pages = Paginator(found, 100)
        context = {
            "search_term": term,
            "page_obj": pages,
            "results": pages.page(1),
            "page_counter": 0,
            "execution_time": time.monotonic() - started,
            "command_show_history": False,
            **(extra_context or {}),
        }
        return TemplateResponse(
            request, "unfold/helpers/command_results.html", context, headers={"HX-Trigger": "search"}
        )

    @method_decorator(never_cache)
    @method_decorator(sensitive_post_parameters("password"))
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Answer:
        """E-mail and password. Every refusal reads the same, whoever is refused and why."""
        del extra_context
        if "HX-Request" in request.headers:
            # The session ended under a page that refreshes itself: load the whole page anew.
            return HttpResponse(headers={"HX-Refresh": "true"})
        target = _safe_next(request)
        if self.has_permission(request):
            return HttpResponseRedirect(target)
        form = PasswordForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            email = form.cleaned_data["email"].strip().lower()
            if limited := _limited(request, email):
                form.add_error(None, limited)
                return self._page(request, "admin/login.html", form=form, next=target, status=429)
            user = authenticate(request, username=email, password=form.cleaned_data["password"])
            if isinstance(user, User) and user.is_staff:
                self._hold(request, user, target)
                return HttpResponseRedirect(reverse("admin:login_code"))
            _record(request, User.objects.filter(email=email).first(), email, succeeded=False)
            form.add_error(None, text_for("invalid_credentials", _language()))
        return self._page(request, "admin/login.html", form=form, next=target)

    @method_decorator(never_cache)
    def login_code(self, request: HttpRequest) -> Answer:
        """The second factor; whoever has none is led to enrolment."""
        user = _pending_user(request)
        if user is None:
            return self._again(request)
        if not TOTPDevice.objects.filter(user=user, confirmed=True).exists():
            return HttpResponseRedirect(reverse("admin:login_enrol"))
        form = CodeForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            if limited := _limited(request, user.email):
                form.add_error(None, limited)
                return self._page(request, "admin/login_code.html", form=form, who=user.email, status=429)
            device = totp_verify(user_id=user.pk, code=form.cleaned_data["code"])
            if device is not None:
                return _enter(request, user, device)
            _record(request, user, user.email, succeeded=False)
            form.add_error("code", text_for("wrong_code", _language()))
        return self._page(request, "admin/login_code.html", form=form, who=user.email)

    @method_decorator(never_cache)
    def login_enrol(self, request: HttpRequest) -> Answer:
        """The first sign-in: a secret of this session alone, kept only once a code proves it."""
        user = _pending_user(request)
        if user is None:
            return self._again(request)
        if TOTPDevice.objects.filter(user=user, confirmed=True).exists():
            return HttpResponseRedirect(reverse("admin:login_code"))
        pending = request.session[PENDING]
        if "key" not in pending:
            request.session[PENDING] = pending = {**pending, "key": random_hex(20)}
        form = CodeForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            if limited := _limited(request, user.email):
                form.add_error(None, limited)
            elif device := _enrolled_device(user, pending["key"], form.cleaned_data["code"]):
                return _enter(request, user, device)
            else:
                _record(request, user, user.email, succeeded=False)
                form.add_error("code", text_for("wrong_code", _language()))
        device = TOTPDevice(user=user, key=pending["key"])
        return self._page(
            request,
            "admin/login_enrol.html",
            form=form,
            who=user.email,
            qr=_qr_data_uri(device.config_url),
            secret=_spaced(base64.b32encode(device.bin_key).decode()),
        )

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Answer:
        del extra_context
        return LogoutView.as_view(next_page=reverse("admin:login"))(request)

    def _page(self, request: HttpRequest, template: str, status: int = 200, **context: Any) -> Answer:
        request.current_app = self.name  # type: ignore[attr-defined]
        site = {**self.each_context(request), "title": _("Sign in"), "languages": settings.LANGUAGES}
        return TemplateResponse(request, template, {**site, **context}, status=status)

    def _hold(self, request: HttpRequest, user: User, target: str) -> None:
        # A new key: whatever session id was planted before the password is worth nothing after it.
        request.session.cycle_key()
        request.session[PENDING] = {
            "user": user.pk,
            "hash": user.get_session_auth_hash(),
            "at": int(time.time()),
            "next": target,
        }

    def _again(self, request: HttpRequest) -> Answer:
        request.session.pop(PENDING, None)
        return HttpResponseRedirect(reverse("admin:login"))


def _language() -> str:
    return (get_language() or "en")[:2]


def _safe_next(request: HttpRequest) -> str:
    given = request.POST.get("next") or request.GET.get("next") or ""
    allowed = url_has_allowed_host_and_scheme(given, {request.get_host()}, require_https=request.is_secure())
    return given if allowed and given.startswith("/") else reverse("admin:index")


def _limited(request: HttpRequest, email: str) -> str:
    """The words for too many tries of this account or address; the refusal is recorded as well."""
    try:
        throttle_sign_in(email=email, ip=request.client_ip, door=SignIn.Door.BACK_OFFICE)  # type: ignore[attr-defined]
    except KauriError:
        _record(request, User.objects.filter(email=email).first(), email, succeeded=False)
        return str(_("Too many tries. Wait a quarter of an hour, then try again."))
    return ""


def _record(request: HttpRequest, user: User | None, email: str, *, succeeded: bool) -> None:
    sign_in_record(
        user=user,
        email=email,
        door=SignIn.Door.BACK_OFFICE,
        succeeded=succeeded,
        ip=request.client_ip,  # type: ignore[attr-defined]
        user_agent=request.headers.get("User-Agent", ""),
    )


def _pending_user(request: HttpRequest) -> User | None:
    """Whoever gave the right password a few minutes ago, if it is still the right one."""
    pending = request.session.get(PENDING)
    if not pending or time.time() - pending["at"] > PENDING_SECONDS:
        return None
    user = User.objects.filter(pk=pending["user"], is_active=True, is_staff=True).first()
    return user if user is not None and user.get_session_auth_hash() == pending["hash"] else None


def _enrolled_device(user: User, key: str, code: str) -> TOTPDevice | None:
    """The user's first device, if ``code`` proves that the secret arrived; nothing is kept otherwise."""
    with transaction.atomic():
        lock(User.objects.filter(pk=user.pk)).get()
        if TOTPDevice.objects.filter(user=user, confirmed=True).exists():
            return None
        device = TOTPDevice(user=user, name="authenticator", key=key, confirmed=True)
        device.save()
        if device.verify_token(code):
            return device
        transaction.set_rollback(True)
        return None


def _enter(request: HttpRequest, user: User, device: TOTPDevice) -> HttpResponse:
    target = request.session.pop(PENDING)["next"]
    auth_login(request, user)
    otp_login(request, device)
    _record(request, user, user.email, succeeded=True)
    return HttpResponseRedirect(target)


def _qr_data_uri(text: str) -> str:
    """A QR code as an SVG data URI: nothing is asked from another host, nothing is stored."""
    image = qrcode.make(text, image_factory=SvgPathFillImage, border=2)
    buffer = io.BytesIO()
    image.save(buffer)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _spaced(secret: str) -> str:
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
