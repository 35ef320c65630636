from django.urls import path

from fleet.accounts import api, members_api, members_views, views

urlpatterns = [
    path("organizations/new", views.OrganizationNew.as_view(), name="organization-new"),
    path("organizations/switch", views.OrganizationSwitch.as_view(), name="organization-switch"),
    path("setup/<str:token>", views.Setup.as_view(), name="setup"),
    path("tokens", views.TokensPage.as_view(), name="tokens"),
    path("members", members_views.MembersPage.as_view(), name="members"),
    path("organization", members_views.OrganizationSettings.as_view(), name="organization"),
    path("invitations/<str:secret>", members_views.InvitationAccept.as_view(), name="invitation"),
    path("account", members_views.AccountPage.as_view(), name="account"),
    path("theme", views.Theme.as_view(), name="theme"),
]
api_urlpatterns = [
    path("auth/token", api.TokenObtain.as_view()),
    path("auth/refresh", api.TokenRefresh.as_view()),
    path("auth/me", api.Me.as_view()),
    path("tokens", api.Tokens.as_view()),
    path("tokens/<tok_id:token_id>", api.TokenDetail.as_view()),
    path("audit", api.Audit.as_view()),
    path("organization", members_api.OrganizationDetail.as_view()),
    path("members", members_api.Members.as_view()),
    path("members/<mem_id:member_id>", members_api.MemberDetail.as_view()),
    path("invitations", members_api.Invitations.as_view()),
    path("invitations/<inv_id:invitation_id>", members_api.InvitationDetail.as_view()),
]
