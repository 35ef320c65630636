"""Pages of accounts, beside allauth's own: organizations and the first visitor's set-up."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View

from fleet.accounts.access import SESSION_KEY, MemberRequired, access
from fleet.accounts.forms import OrganizationForm, SetupForm
from fleet.accounts.models import User
from fleet.accounts.services import organization_create, setup_complete, setup_token_valid, token_create, token_revoke
from fleet.lib.ids import clean_name
from fleet.lib.public_ids import Kind, number_of

BACKEND = "fleet.accounts.backends.LimitedBackend"


class OrganizationNew(LoginRequiredMixin, View):
    """Create an organization; whoever does becomes its admin."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "accounts/organization_new.html", {"form": OrganizationForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = OrganizationForm(request.POST)
        if not form.is_valid():
            return render(request, "accounts/organization_new.html", {"form": form}, status=422)
        assert isinstance(request.user, User)
        organization = organization_create(owner=request.user, name=form.cleaned_data["name"], request=request)
        request.session[SESSION_KEY] = organization.pk
        messages.success(request, f"{organization} is ready.")
        return redirect("overview")


class OrganizationSwitch(LoginRequiredMixin, View):
    """Choose the organization that the session speaks for."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        assert isinstance(request.user, User)
        organization = get_object_or_404(
            request.user.organizations, pk=number_of(Kind.ORGANIZATION, request.POST.get("organization", ""))
        )
        request.session[SESSION_KEY] = organization.pk
        return redirect("overview")


class Setup(View):
    """The one-time link: the first organization and its admin."""

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: str) -> HttpResponse:
        if not setup_token_valid(kwargs["token"]):
            raise Http404
        response: HttpResponse = super().dispatch(request, *args, **kwargs)  # type: ignore[assignment]
        return response

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return render(request, "accounts/setup.html", {"form": SetupForm()})

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        form = SetupForm(request.POST)
        if not form.is_valid():
            return render(request, "accounts/setup.html", {"form": form}, status=422)
        user = setup_complete(token=token, request=request, **form.cleaned_data)
        if user is None:
            raise Http404
        login(request, user, backend=BACKEND)
        return redirect("overview")


class TokensPage(MemberRequired, View):
    """One's own personal API tokens."""

    def get(self, request: HttpRequest) -> HttpResponse:
        found = access(request)
        tokens = found.organization.api_tokens.filter(user=found.user, revoked_at=None)
        return render(request, "accounts/tokens.html", {"tokens": tokens})

    def post(self, request: HttpRequest) -> HttpResponse:
        found = access(request)
        revoke = request.POST.get("revoke", "")
        if revoke:
            token = get_object_or_404(found.organization.api_tokens, pk=number_of(Kind.TOKEN, revoke), user=found.user)
            token_revoke(token=token, user=found.user, request=request)
            messages.success(request, f"{token.name} is revoked.")
            return redirect("tokens")
        name = clean_name(request.POST.get("name", ""))[:100] or "Token"
        _, secret = token_create(organization=found.organization, user=found.user, name=name, request=request)
        tokens = found.organization.api_tokens.filter(user=found.user, revoked_at=None)
        response = render(request, "accounts/tokens.html", {"tokens": tokens, "secret": secret})
        response["Cache-Control"] = "no-store"
        return response


class Theme(View):
    """Remember light, dark or automatic in a cookie that the server reads, so that no page flashes."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        target = request.POST.get("next", "/")
        if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
            target = "/"
        response = redirect(target)
        response.set_cookie("theme", request.POST.get("theme", "")[:5], max_age=31_536_000, samesite="Lax")
        return response
