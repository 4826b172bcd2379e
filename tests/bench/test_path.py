"""What is put around each packet is measured layer by layer."""

from __future__ import annotations

from voice_server.bench.path import measure_path


async def test_every_layer_of_every_road_has_its_cost() -> None:
    """What it costs is the machine's affair: the bench says whether it is too much."""
    telling, wordless, hearing = await measure_path(rounds=1)
    assert [len(road.layers) for road in (telling, wordless, hearing)] == [5, 5, 3]
    assert (telling.each_ms, wordless.each_ms, hearing.each_ms) == (20, 20, 32)
    for road in (telling, wordless, hearing):
        for layer in road.layers:
            assert layer.crowd_us > 0 and layer.single_us > 0
    names = [layer.name for layer in telling.layers]
    assert names != [layer.name for layer in wordless.layers] and len(set(names)) == 5
