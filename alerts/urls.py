from django.urls import path

from alerts import api, channels_api, fences_api, rules_api, rules_views, views

urlpatterns = [
    path("alerts", views.Inbox.as_view(), name="alerts"),
    path("alerts/<alert_id:alert>", views.AlertPage.as_view(), name="alert"),
    path("rules", rules_views.RulesPage.as_view(), name="rules"),
    path("rules/new", rules_views.RulePage.as_view(), name="rule-new"),
    path("rules/<rule_id:rule>", rules_views.RulePage.as_view(), name="rule"),
    path("channels", rules_views.ChannelsPage.as_view(), name="channels"),
    path("geofences", rules_views.GeofencesPage.as_view(), name="geofences"),
]

api_urlpatterns = [
    path("alert-rules", rules_api.Rules.as_view()),
    path("alert-rules/backtest", rules_api.Backtest.as_view()),
    path("alert-rules/starter-set", channels_api.StarterSet.as_view()),
    path("alert-rules/<rule_id:rule>", rules_api.RuleDetail.as_view()),
    path("alerts", api.Alerts.as_view()),
    path("alerts/count", api.AlertCount.as_view()),
    path("alerts/<alert_id:alert>", api.AlertDetail.as_view()),
    path("alerts/<alert_id:alert>/acknowledge", api.Acknowledge.as_view()),
    path("alerts/<alert_id:alert>/resolve", api.Resolve.as_view()),
    path("alerts/<alert_id:alert>/snooze", api.Snooze.as_view()),
    path("alerts/<alert_id:alert>/assign", api.Assign.as_view()),
    path("alerts/<alert_id:alert>/comments", api.Comments.as_view()),
    path("channels", channels_api.Channels.as_view()),
    path("channels/<chan_id:channel>", channels_api.ChannelDetail.as_view()),
    path("channels/<chan_id:channel>/test", channels_api.ChannelTest.as_view()),
    path("geofences", fences_api.Fences.as_view()),
    path("geofences/<geo_id:fence>", fences_api.FenceDetail.as_view()),
    path("push-browsers", channels_api.PushBrowsers.as_view()),
]
