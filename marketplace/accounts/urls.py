"""The account's pages, and django-allauth's beside them."""

from django.urls import include, path

from marketplace.accounts import views

urlpatterns = [
    path("account/", views.account, name="account"),
    path("account/profile", views.edit_profile, name="account-profile"),
    path("account/tokens", views.create_token, name="account-tokens"),
    path("account/tokens/<int:token_id>/revoke", views.revoke_token, name="account-token-revoke"),
    path("account/offers/<int:offer_id>", views.answer_offer, name="account-offer"),
    path("account/export", views.export, name="account-export"),
    path("account/close", views.close, name="account-close"),
    path("account/reopen", views.reopen, name="account-reopen"),
    path("account/", include("allauth.account.urls")),
]
