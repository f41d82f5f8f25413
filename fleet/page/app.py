"""The page's application: reads the fleet's database for each request. Nothing can be changed by it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from agent.clock import Clock
from agent.errors import StoreError
from agent.update.job import stamp
from fleet.database import FleetDatabase, open_database
from fleet.overview import ago, overview, overview_dict, percent, site_line, sites_in_order
from fleet.rollout.decide import OVER, counts, where_it_stands
from fleet.rollout.record import events, load, recent
from fleet.sites import load_sites

# Roll-outs that are over, on a site's page.
_OF_A_SITE = 20
# No script runs, nothing is loaded from elsewhere, nobody frames it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def fleet_page(database: FleetDatabase, clock: Clock, hosts: Sequence[str]) -> Starlette:
    """The application. It answers requests that name one of `hosts` only: a page elsewhere cannot have a browser
    read this one under a name of its own."""
    templates = Environment(
        loader=PackageLoader("fleet.page"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"stamp": stamp}
    templates.globals |= {
        "ago": ago,
        "percent": percent,
        "counts": counts,
        "where_it_stands": where_it_stands,
        "sites_in_order": sites_in_order,
    }

    def html(name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(templates.get_template(name).render(**values), headers=_HEADERS)

    def guarded(endpoint: Callable[[Request, datetime], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                return endpoint(request, clock.now())
            except StoreError as error:
                page = html("trouble.html", now=clock.now(), error=error)
                page.status_code = 503
                return page

        return answer

    def first(request: Request, now: datetime) -> Response:
        del request
        return html("fleet.html", now=now, view=overview(database, now))

    def as_json(request: Request, now: datetime) -> Response:
        del request
        return JSONResponse(overview_dict(overview(database, now)), headers=_HEADERS)

    def rollout(request: Request, now: datetime) -> Response:
        found = load(database, request.path_params["id"])
        if found is None:
            raise HTTPException(404, "there is no such roll-out")
        record = events(database, found.plan.id)
        return html("rollout.html", now=now, rollout=found, record=record, over=found.phase in OVER)

    def site(request: Request, now: datetime) -> Response:
        found = load_sites(database).get(request.path_params["id"])
        if found is None:
            raise HTTPException(404, "there is no such site")
        rows = [(each, each.rows[found.id]) for each in recent(database, over=_OF_A_SITE, site=found.id)]
        return html("site.html", now=now, site=found, line=site_line(found, now), rollouts=rows)

    def style(_request: Request) -> Response:
        text = templates.get_template("style.css").render()
        return Response(text, media_type="text/css", headers={**_HEADERS, "Cache-Control": "max-age=300"})

    return Starlette(
        routes=[
            Route("/", guarded(first)),
            Route("/status.json", guarded(as_json)),
            Route("/rollouts/{id}", guarded(rollout)),
            Route("/sites/{id}", guarded(site)),
            Route("/style.css", style),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
    )


def serve(place: str, host: str, port: int, clock: Clock, hosts: Sequence[str]) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises StoreError."""
    import uvicorn

    # uvicorn ends in good order, and then raises the signal again for whoever was there before it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with closing(open_database(place)) as database:
        uvicorn.run(
            fleet_page(database, clock, [host, "localhost", *hosts]),
            host=host,
            port=port,
            log_level="warning",
            server_header=False,
        )
