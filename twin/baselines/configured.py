"""The control that a site had before the agent, as [stations.X.baseline] of its site.toml describes it."""

from __future__ import annotations

from dataclasses import replace

from agent.config.site import Station
from twin.baselines.cascade import Cascade
from twin.baselines.play import StationController
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.station import AirStation


class OwnSwitches:
    """Nobody in command: every machine follows its own pressure switch and run-on timer."""

    def step(self, now_s: float, dt_s: float, plant: AirStation) -> None:  # noqa: ARG002 (controllers' common form)
        """Leave the machines alone."""
        plant.follow_master = False


def configured_baseline(station: Station) -> StationController:
    """The controller of [stations.X.baseline]; what it does not say is the controller's default."""
    baseline = station.baseline
    if baseline.control == "switches":
        return OwnSwitches()
    if baseline.control == "cascade":
        given = {
            key: value
            for key in ("floor_bar", "band_bar", "offset_bar", "run_on_s", "vsd_first")
            if (value := getattr(baseline, key)) is not None
        }
        return Cascade(station, order=baseline.order, **given)
    settings = SequencerSettings(selection=baseline.order)
    for ours, theirs in (
        ("floor_bar", "floor_bar"),
        ("band_bar", "band_bar"),
        ("run_on_s", "run_on_s"),
        ("vsd_first", "vsd_trims"),
    ):
        value = getattr(baseline, ours)
        if value is not None:
            settings = replace(settings, **{theirs: value})
    return Sequencer(station, settings=settings)


def baseline_text(station: Station) -> str:
    """For people: `cascade in the order of priority, band 0.5 bar`."""
    baseline = station.baseline
    if baseline.control == "switches":
        return "each machine's own pressure switch"
    text = f"{baseline.control} in the order of {baseline.order}"
    if baseline.floor_bar is not None:
        text += f", {baseline.floor_bar:g} bar above the minimum"
    if baseline.band_bar is not None:
        text += f", band {baseline.band_bar:g} bar"
    if baseline.run_on_s is not None:
        text += f", run-on {baseline.run_on_s:g} s"
    return text
