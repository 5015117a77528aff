"""The addresses of what no other API has, beside those of the APIs that miss it."""

from django.urls import path

from hugweb.api.extras import reranking, tokens

urlpatterns = [
    path("api/tokenize", tokens.tokenize),
    path("api/detokenize", tokens.detokenize),
    path("api/rerank", reranking.rerank),
    path("v1/rerank", reranking.rerank),
]
