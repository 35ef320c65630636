"""API of an organization's members, invitations and settings."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts import memberships
from fleet.accounts.access import access
from fleet.accounts.models import Invitation, Membership, Organization, Role
from fleet.lib.api import NO_STORE
from fleet.lib.fields import Name, StrictSerializer, own_id
from fleet.lib.public_ids import Kind

ROLES = {role.label: role for role in Role}


class RoleField(serializers.ChoiceField):
    """A role by its name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=list(ROLES), **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """The role of a name."""
        return ROLES[super().to_internal_value(data)]

    def to_representation(self, value: Any) -> str:
        """The name of a role."""
        return Role(value).label


class MemberOutput(serializers.ModelSerializer[Membership]):
    id = own_id(Kind.MEMBER)
    email = serializers.EmailField(source="user.email", allow_null=True)
    username = serializers.CharField(source="user.username", allow_null=True)
    name = serializers.CharField(source="user.name")
    role = RoleField()

    class Meta:
        model = Membership
        fields = ("id", "email", "username", "name", "role", "created_at")


class Members(generics.ListAPIView[Membership]):
    """Who belongs to the organization."""

    queryset = Membership.objects.none()
    serializer_class = MemberOutput

    def get_queryset(self) -> Any:
        return access(self.request).organization.memberships.select_related("user").order_by("pk")


class MemberDetail(APIView):
    """One member; admins change and remove."""

    roles = {"PATCH": Role.ADMIN, "DELETE": Role.ADMIN}

    class Input(StrictSerializer):
        role = RoleField(required=False)

    @extend_schema(request=Input, responses=MemberOutput)
    def patch(self, request: Request, member_id: int) -> Response:
        """Another role; 409 where nobody would be left to look after the organization."""
        found = access(request)
        member = get_object_or_404(found.organization.memberships.select_related("user"), pk=member_id)
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        if "role" in data.validated_data:
            memberships.set_role(membership=member, role=data.validated_data["role"], user=found.user, request=request)
        return Response(MemberOutput(member).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, member_id: int) -> Response:
        """End the membership and its tokens; open streams close within seconds."""
        found = access(request)
        member = get_object_or_404(found.organization.memberships, pk=member_id)
        memberships.remove(membership=member, user=found.user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationOutput(serializers.ModelSerializer[Invitation]):
    id = own_id(Kind.INVITATION)
    role = RoleField()

    class Meta:
        model = Invitation
        fields = ("id", "email", "role", "created_at", "expires_at", "accepted_at")


class Invitations(generics.GenericAPIView[Invitation]):
    """Offers to join."""

    roles = {"GET": Role.ADMIN, "POST": Role.ADMIN}
    queryset = Invitation.objects.none()
    serializer_class = InvitationOutput

    class Input(StrictSerializer):
        email = serializers.EmailField()
        role = RoleField(default=Role.VIEWER)

    class Created(InvitationOutput):
        link = serializers.CharField(help_text="What was sent by e-mail, shown this once.")

        class Meta(InvitationOutput.Meta):
            fields = (*InvitationOutput.Meta.fields, "link")  # type: ignore[assignment]

    def get_queryset(self) -> Any:
        return access(self.request).organization.invitations.all()

    @extend_schema(responses=InvitationOutput(many=True))
    def get(self, request: Request) -> Response:
        """All invitations, the newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(InvitationOutput(page, many=True).data)

    @extend_schema(request=Input, responses={201: Created})
    def post(self, request: Request) -> Response:
        """Invite an address by e-mail; a new invitation replaces an open one."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        invitation, link = memberships.invite(
            organization=found.organization, user=found.user, request=request, **data.validated_data
        )
        body = {**InvitationOutput(invitation).data, "link": link}
        return Response(body, status=status.HTTP_201_CREATED, headers=NO_STORE)


class InvitationDetail(APIView):
    """One invitation."""

    roles = {"DELETE": Role.ADMIN}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, invitation_id: int) -> Response:
        """Take it back."""
        found = access(request)
        invitation = get_object_or_404(found.organization.invitations, pk=invitation_id, accepted_at=None)
        memberships.withdraw(invitation=invitation, user=found.user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class OrganizationOutput(serializers.ModelSerializer[Organization]):
    """The organization's settings."""

    id = own_id(Kind.ORGANIZATION)
    name = Name(max_length=120)

    class Meta:
        model = Organization
        fields = ("id", *memberships.SETTINGS)
        read_only_fields = ("id",)


class OrganizationDetail(APIView):
    """The organization that the credential names."""

    roles = {"PATCH": Role.ADMIN}

    @extend_schema(responses=OrganizationOutput)
    def get(self, request: Request) -> Response:
        """Its settings."""
        return Response(OrganizationOutput(access(request).organization).data)

    @extend_schema(request=OrganizationOutput, responses=OrganizationOutput)
    def patch(self, request: Request) -> Response:
        """Change some of them."""
        found = access(request)
        data = OrganizationOutput(found.organization, data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        memberships.organization_update(
            organization=found.organization, user=found.user, fields=data.validated_data, request=request
        )
        return Response(OrganizationOutput(found.organization).data)
