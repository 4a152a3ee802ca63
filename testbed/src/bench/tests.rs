//! A short round to keep it alive, and its form. Nothing here asserts a time.

use std::time::Duration;

use super::figures::{End, INSIDE, Life, Mesh, Own, Probe, Start, Steady};
use super::machine::Machine;
use super::{BenchArgs, Only, Report, measure, picture, table};
use crate::parts;
use crate::screen::Screen;
use crate::skip::skip;

fn life(offset: u64) -> Life {
    let ms = |n: u64| Duration::from_millis(n + offset);
    Life {
        start: Start { registered: ms(100), listener: ms(300), offered: ms(320), app: ms(330) },
        end: End {
            peers: ms(50),
            drained: Some(ms(600)),
            envoy: ms(700),
            left: ms(4000),
            exited: ms(4010),
        },
        own: Some(Own { leave: ms(3300), dwell: Duration::from_millis(500), rest: ms(200) }),
        events: Vec::new(),
    }
}

fn report() -> Report {
    let steady = Steady { size: 1, rss: 7 * 1024, anon: 1536, peak: 8 * 1024, ..Steady::default() };
    let large =
        Steady { size: 200, rss: steady.rss + 1990, anon: steady.anon + 995, cpu: 1.99, ..steady };
    let mut floor = life(50);
    (floor.own, floor.end.drained) = (None, None);
    Report {
        machine: Machine {
            cpu: "A & B".to_owned(),
            cores: 2,
            memory: 24.0,
            kernel: "6.1".to_owned(),
            load: 0.25,
        },
        envoy: "1.40.0".to_owned(),
        size: 11_900_000,
        debug: false,
        period: Duration::from_secs(60),
        meshes: vec![Mesh {
            name: "the development mesh".to_owned(),
            real: false,
            floor: vec![floor],
            taskmesh: vec![life(0), life(2)],
            steady: vec![steady, large, Steady { size: 200, load: Some(999.6), ..steady }],
            probe: Probe { ms: 2.25, kib: 3072 },
        }],
    }
}

#[test]
fn the_table_has_every_figure_and_its_goal() {
    let text = table::markdown(&report(), "bench.svg");
    for row in [
        "taskmesh 0.1.0, a release build, 11.90 MB",
        "A & B, 2 cores, 24 GiB, Linux 6.1",
        "load average before it: 0.25",
        "Each further container, with its upstream, takes 10.0 KiB, 5.0 of them anonymous, and 0.010 % of a core.",
        "| listener open | 0.350 | 0.350 | 0.350 | 0.300 | 0.301 | 0.302 | 0.86 x | <= 1.0 x |",
        "| drained | - | - | - | 0.600 | 0.601 | 0.602 | - |  |",
        "| own part of it | - | - | - | 0.200 | 0.201 | 0.202 | - | <= 0.30 s |",
        "| 1 | idle | 7.00 | - | 1.50 | 8.00 | 0 | 0 | 0.0 | 0.00 % |",
        "| 200 | 1000/s | 7.00 |",
        "| `taskmesh healthcheck`, median | 2.2 ms | <= 5 ms |",
        "is not Consul",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
    let svg = picture::svg(&report());
    assert!(svg.contains("A &amp; B") && svg.ends_with("</svg>\n"), "{svg}");
}

#[test]
fn what_is_shown_fits_a_terminal() {
    let report = report();
    let mesh = &report.meshes[0];
    let mut lines = table::times(mesh);
    lines.extend(mesh.steady.iter().map(table::steady));
    lines.push(table::round(10, "taskmesh", &life(0)));
    lines.extend([table::ROUND_HEAD, table::STEADY_HEAD].map(str::to_owned));
    for line in lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[tokio::test]
async fn a_short_round_has_every_figure_in_order() {
    if let Err(missing) = parts::envoy() {
        return skip(&missing.to_string());
    }
    let out = tempfile::tempdir().expect("a folder");
    let args = BenchArgs {
        rounds: 1,
        short: true,
        taskmesh: None,
        sizes: vec![1, 20],
        period: 60,
        only: Some(Only::Mesh),
        out: out.path().to_owned(),
        publish: false,
    };
    let report = measure(&args, Screen::new()).await.expect("it runs");
    let [mesh] = &report.meshes[..] else { panic!("one mesh") };
    for lives in [&mesh.floor, &mesh.taskmesh] {
        let [Life { start, end, .. }] = lives[..] else { panic!("one life: {lives:?}") };
        assert!(start.registered <= start.listener, "{start:?}");
        assert!(start.listener.min(start.app) > Duration::ZERO, "{start:?}");
        assert!(start.registered <= start.offered, "{start:?}");
        assert!(end.envoy <= end.left && end.left <= end.exited, "{end:?}");
    }
    let ours = &mesh.taskmesh[0];
    assert!(ours.own.is_some() && ours.end.drained.is_some(), "{ours:?}");
    // From outside the last two may be seen at the same look; by its own account they have an order.
    let own: Vec<_> = INSIDE.iter().map(|event| ours.event(*event).expect("an event")).collect();
    assert!(own[..INSIDE.len() - 1].is_sorted(), "{own:?}");
    let seen: Vec<_> = mesh.steady.iter().map(|s| (s.size, s.load.is_some())).collect();
    assert_eq!(seen, [(1, false), (20, false), (1, true), (20, true)]);
    for steady in &mesh.steady {
        assert!(steady.anon > 0 && steady.anon < steady.rss, "{steady:?}");
        assert!(steady.threads > 0 && steady.descriptors > 2, "{steady:?}");
        assert!(steady.load.is_none_or(|rate| rate > 0.0), "{steady:?}");
    }
    assert!(mesh.probe.ms > 0.0 && mesh.probe.kib > 0, "{:?}", mesh.probe);
    for file in ["bench.md", "bench.svg"] {
        assert!(out.path().join(file).is_file(), "{file}");
    }
}
