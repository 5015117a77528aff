"""The addresses of "my usage"."""

from django.urls import path

from inference.usage import views

urlpatterns = [
    path("usage/", views.my_usage, name="usage"),
    path("usage/usage.csv", views.my_usage_csv, name="usage-csv"),
]
