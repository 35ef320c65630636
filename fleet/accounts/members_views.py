"""Pages of an organization's members and settings, of invitations, and of one's own account."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from fleet.accounts import limits, memberships
from fleet.accounts.access import SESSION_KEY, MemberRequired, access
from fleet.accounts.models import Organization, Role, User
from fleet.lib.errors import MotorpoolError
from fleet.lib.fields import NameField
from fleet.lib.public_ids import Kind, number_of


class InviteForm(forms.Form):
    """An address and a role."""

    email = forms.EmailField(label="E-mail address")
    role = forms.TypedChoiceField(choices=Role.choices, coerce=lambda value: Role(int(value)))


class SettingsForm(forms.ModelForm[Organization]):
    """The organization's settings."""

    name = NameField(max_length=120, label="Name")

    class Meta:
        model = Organization
        fields = memberships.SETTINGS


class MembersPage(MemberRequired, View):
    """Who belongs to the organization; admins invite, change and remove."""

    roles = {"POST": Role.ADMIN}

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, InviteForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        found = access(request)
        organization = found.organization
        try:
            match request.POST.get("action", "invite"):
                case "invite":
                    form = InviteForm(request.POST)
                    if not form.is_valid():
                        return self._page(request, form, 422)
                    invitation, link = memberships.invite(
                        organization=organization, user=found.user, request=request, **form.cleaned_data
                    )
                    words = f"{invitation.email} is invited by e-mail. You can hand over the link yourself too: {link}"
                case "withdraw":
                    invitation = get_object_or_404(
                        organization.invitations,
                        pk=number_of(Kind.INVITATION, request.POST.get("invitation", "")),
                        accepted_at=None,
                    )
                    memberships.withdraw(invitation=invitation, user=found.user, request=request)
                    words = "The invitation is withdrawn."
                case action:
                    member = get_object_or_404(
                        organization.memberships, pk=number_of(Kind.MEMBER, request.POST.get("member", ""))
                    )
                    if action == "remove":
                        memberships.remove(membership=member, user=found.user, request=request)
                        words = f"{member.user} is no member any more."
                    else:
                        role = request.POST.get("role", "")
                        if role not in {str(known.value) for known in Role}:
                            raise Http404
                        memberships.set_role(membership=member, role=Role(int(role)), user=found.user, request=request)
                        words = f"{member.user} is {Role(int(role)).label} now."
        except MotorpoolError as error:
            messages.error(request, error.detail)
        else:
            messages.success(request, words)
        return redirect("members")

    def _page(self, request: HttpRequest, form: InviteForm, status: int = 200) -> HttpResponse:
        organization = access(request).organization
        context = {
            "form": form,
            "members": organization.memberships.select_related("user").order_by("pk"),
            "invitations": organization.invitations.filter(accepted_at=None),
        }
        response = render(request, "accounts/members.html", context, status=status)
        response["Cache-Control"] = "no-store"  # an invitation's link may stand in its message
        return response


class OrganizationSettings(MemberRequired, View):
    """Name, time zone, retention."""

    roles = {"GET": Role.ADMIN, "POST": Role.ADMIN}

    def get(self, request: HttpRequest) -> HttpResponse:
        form = SettingsForm(instance=access(request).organization)
        return render(request, "accounts/organization.html", {"form": form})

    def post(self, request: HttpRequest) -> HttpResponse:
        found = access(request)
        form = SettingsForm(
            request.POST, instance=get_object_or_404(found.user.organizations, pk=found.organization.pk)
        )
        if form.is_valid():
            try:
                memberships.organization_update(
                    organization=found.organization, user=found.user, fields=form.cleaned_data, request=request
                )
            except MotorpoolError as error:
                form.add_error(None, error.detail)
            else:
                messages.success(request, "Saved.")
                return redirect("organization")
        return render(request, "accounts/organization.html", {"form": form}, status=422)


class InvitationAccept(View):
    """The link of an invitation: who is signed in joins; who is not signs in or up first, and comes back."""

    def get(self, request: HttpRequest, secret: str) -> HttpResponse:
        invitation = memberships.find_invitation(secret)
        if invitation is None:
            raise Http404
        request.session[memberships.INVITATION_KEY] = secret
        return render(request, "accounts/invitation.html", {"invitation": invitation})

    def post(self, request: HttpRequest, secret: str) -> HttpResponse:
        if not isinstance(request.user, User):
            return redirect(f"/accounts/login/?next={request.path}")
        membership = memberships.accept(secret=secret, user=request.user, request=request)
        if membership is None:
            raise Http404
        request.session[SESSION_KEY] = membership.organization_id
        messages.success(request, f"Welcome to {membership.organization}.")
        return redirect("overview")


class AccountPage(LoginRequiredMixin, View):
    """One's own account: where its parts are changed, and how it is deleted."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "accounts/account.html")

    def post(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        assert isinstance(user, User)
        buckets = limits.reserve(request, user.email or user.username or "")
        if not buckets or not user.check_password(request.POST.get("password", "")):
            words = "The password is wrong" if buckets else "Too many wrong passwords; try again later"
            messages.error(request, f"{words}: nothing was deleted.")
            return redirect("account")
        limits.succeeded(buckets)
        try:
            memberships.account_delete(user=user, request=request)
        except MotorpoolError as error:
            messages.error(request, error.detail)
            return redirect("account")
        logout(request)
        messages.success(request, "Your account is deleted.")
        return redirect("account_login")
