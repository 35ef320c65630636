"""The worker that shows notifications in browsers: it has to lie at the root, to be in charge of every page."""

from __future__ import annotations

from django.contrib.staticfiles import finders
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.views.decorators.cache import cache_control


@cache_control(max_age=0)
def service_worker(request: HttpRequest) -> HttpResponseBase:
    """The script."""
    path = finders.find("dist/sw.js")
    if not isinstance(path, str):
        raise Http404
    return FileResponse(open(path, "rb"), content_type="text/javascript")
