"""API of accounts: tokens, who am I, audit events."""

from __future__ import annotations

from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.exceptions import APIException
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.tokens import RefreshToken

from fleet.accounts import limits, second_factor
from fleet.accounts.access import access, find_access
from fleet.accounts.authentication import REALM, NotAuthenticated
from fleet.accounts.models import ApiToken, AuditEvent, Role, User
from fleet.accounts.services import audit, token_create, token_revoke
from fleet.accounts.stages import awaits_confirmation
from fleet.lib.api import NO_STORE, NewestFirst, NotFound, StrictJSONParser
from fleet.lib.fields import Name, PublicId, StrictSerializer, own_id
from fleet.lib.public_ids import Kind


class _Public(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]

    def get_authenticate_header(self, request: Request) -> str:
        return REALM


class TokenObtain(_Public):
    """Exchange a password for a JWT."""

    parser_classes = [StrictJSONParser, FormParser]

    class Input(StrictSerializer):
        email = serializers.CharField(required=False, max_length=254)
        username = serializers.CharField(required=False, max_length=254)
        password = serializers.CharField(max_length=1000, trim_whitespace=False)
        otp = serializers.CharField(required=False, max_length=40, help_text="Where two-factor sign-in is active.")
        organization = PublicId(Kind.ORGANIZATION, required=False)

        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            if not attrs.get("email") and not attrs.get("username"):
                raise serializers.ValidationError({"email": ["Give an email or a username."]})
            return attrs

    class Output(serializers.Serializer[Any]):
        access = serializers.CharField()
        refresh = serializers.CharField()
        expires_in = serializers.IntegerField(help_text="Seconds until `access` expires.")

    @extend_schema(request=Input, responses=Output, auth=[])
    def post(self, request: Request) -> Response:
        """A token pair for one organization: the named one, or the user's first."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        given = data.validated_data
        login = given.get("email") or given["username"]
        kind = "email" if "@" in login else "username"
        user = authenticate(request._request, password=given["password"], **{kind: login})
        if getattr(request._request, "too_many_failures", False):
            raise TooManyFailedSignIns
        if not isinstance(user, User) or not user.is_active or awaits_confirmation(user):
            raise NotAuthenticated("The name or the password is wrong.")
        _check_otp(request, user, given.get("otp", ""))
        if "organization" not in given and user.memberships.count() > 1:
            words = ", ".join(
                f"{m.organization.public_id} ({m.organization})"
                for m in user.memberships.select_related("organization")
            )
            raise serializers.ValidationError({"organization": [f"You belong to several; name one: {words[:500]}."]})
        found = find_access(user, given.get("organization"))
        if found is None:
            raise NotAuthenticated("You are not a member of that organization.")
        refresh: Any = RefreshToken.for_user(user)
        refresh["organization"] = found.organization.pk
        audit("user.token_obtained", organization=found.organization, user=user, target=user, request=request)
        return Response(_pair(str(refresh.access_token), str(refresh)), headers=NO_STORE)


class TokenRefresh(_Public):
    """Exchange a refresh token for a new pair; the old one dies."""

    class Input(StrictSerializer):
        refresh = serializers.CharField(max_length=4000)

    @extend_schema(request=Input, responses=TokenObtain.Output, auth=[])
    def post(self, request: Request) -> Response:
        """A new token pair."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        refresher = TokenRefreshSerializer(data=data.validated_data)
        try:
            refresher.is_valid(raise_exception=True)
        except (TokenError, User.DoesNotExist):
            raise NotAuthenticated("The refresh token is expired or was used before.") from None
        pair = refresher.validated_data
        return Response(_pair(pair["access"], pair["refresh"]), headers=NO_STORE)


class TooManyFailedSignIns(APIException):
    """429, without having looked at the password."""

    status_code = 429
    default_code = "throttled"
    default_detail = "Too many failed attempts: try again later, or reset your password."
    wait = 3600


def _check_otp(request: Request, user: User, otp: str) -> None:
    """Where the user has a second factor, its code; wrong ones count as failed sign-ins."""
    if not is_mfa_enabled(user):
        return
    if not otp:
        raise NotAuthenticated(
            "This account has two-factor sign-in: send the current code as otp.", code="otp_required"
        )
    buckets = limits.reserve_code(request._request, user)
    if not buckets:
        raise TooManyFailedSignIns
    if second_factor.code_is_right(user, otp):
        limits.succeeded(buckets)
        return
    raise NotAuthenticated("The code is wrong.", code="otp_wrong")


def _pair(access_token: str, refresh_token: str) -> dict[str, Any]:
    lifetime: Any = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]
    seconds = int(lifetime.total_seconds())
    return {"access": access_token, "refresh": refresh_token, "expires_in": seconds}


class Me(APIView):
    """Who the credential stands for."""

    class Output(serializers.Serializer[Any]):
        class Org(serializers.Serializer[Any]):
            id = serializers.CharField()
            name = serializers.CharField()

        id = serializers.CharField()
        email = serializers.EmailField(allow_null=True)
        username = serializers.CharField(allow_null=True)
        organization = Org()
        role = serializers.ChoiceField(["viewer", "operator", "admin"])
        level = serializers.IntegerField()

    @extend_schema(responses=Output)
    def get(self, request: Request) -> Response:
        """User, organization and role."""
        found = access(request)
        return Response(
            {
                "id": found.user.public_id,
                "email": found.user.email,
                "username": found.user.username,
                "organization": {"id": found.organization.public_id, "name": found.organization.name},
                "role": found.role.label,
                "level": found.role.value,
            }
        )


class TokenOutput(serializers.ModelSerializer[ApiToken]):
    id = own_id(Kind.TOKEN)

    class Meta:
        model = ApiToken
        fields = ("id", "name", "prefix", "created_at", "last_used", "expires_at", "revoked_at")


class Tokens(generics.GenericAPIView[ApiToken]):
    """One's own personal tokens in this organization."""

    queryset = ApiToken.objects.none()
    serializer_class = TokenOutput

    class Input(StrictSerializer):
        name = Name(max_length=100)
        expires_at = serializers.DateTimeField(required=False, allow_null=True)

    class Created(TokenOutput):
        token = serializers.CharField(help_text="The secret, shown this once.")

        class Meta(TokenOutput.Meta):
            fields = (*TokenOutput.Meta.fields, "token")  # type: ignore[assignment]

    def get_queryset(self) -> Any:
        found = access(self.request)
        return found.organization.api_tokens.filter(user=found.user)

    @extend_schema(responses=TokenOutput(many=True))
    def get(self, request: Request) -> Response:
        """Your tokens, the newest first; never their secrets."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(TokenOutput(page, many=True).data)

    @extend_schema(request=Input, responses={201: Created})
    def post(self, request: Request) -> Response:
        """A new token."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        token, secret = token_create(
            organization=found.organization, user=found.user, request=request, **data.validated_data
        )
        return Response({**TokenOutput(token).data, "token": secret}, status=status.HTTP_201_CREATED, headers=NO_STORE)


class TokenDetail(APIView):
    """One personal token."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, token_id: int) -> Response:
        """Revoke it."""
        found = access(request)
        token = found.organization.api_tokens.filter(user=found.user, pk=token_id, revoked_at=None).first()
        if token is None:
            raise NotFound
        token_revoke(token=token, user=found.user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class AuditOutput(serializers.ModelSerializer[AuditEvent]):
    id = own_id(Kind.AUDIT_EVENT)
    user = serializers.CharField(allow_null=True)

    class Meta:
        model = AuditEvent
        fields = ("id", "created_at", "user", "action", "target", "details", "address")


class Audit(generics.ListAPIView[AuditEvent]):
    """What happened in the organization, the newest first."""

    roles = {"GET": Role.ADMIN}
    queryset = AuditEvent.objects.none()
    serializer_class = AuditOutput
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        return access(self.request).organization.audit_events.select_related("user")
