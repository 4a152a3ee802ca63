//! One broken time axis for several tasks. A start of 0.5 s, a run of 30 s and a stop of 6 s cannot share a
//! scale: every busy time gets a panel with its own, and the quiet between is cut out.

use super::Lane;
use crate::timeline::{Record, Stretch};

/// A quiet shorter than this share of its busier neighbour is not cut out.
const MERGE_SHARE: f64 = 0.5;

/// And none shorter than this, in ms.
const MERGE_LEAST: f64 = 100.0;

/// More panels than this and none of them could be read.
const MAX_PANELS: usize = 5;

/// Of a panel's width, for labels: the rest belongs to the time.
const MOST_MARGIN: f64 = 0.7;

/// A panel of one moment still needs a width in time, in ms.
const LEAST_SPAN: f64 = 20.0;

/// The whole axis, in the picture's px.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) panels: Vec<Panel>,
}

/// A busy time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    /// In ms of the common axis.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where it is drawn.
    pub(super) x: f64,
    pub(super) width: f64,
    /// Of `width`, kept free for the labels of the last events.
    pub(super) margin: f64,
    pub(super) title: &'static str,
}

impl Panel {
    /// Where `ms` of the common axis lies; clamped to the panel.
    pub(super) fn at(&self, ms: f64) -> f64 {
        let span = (self.to - self.from).max(LEAST_SPAN);
        let share = ((ms - self.from) / span).clamp(0.0, 1.0);
        self.x + share * (self.width - self.margin)
    }

    /// `ms` lies in it.
    pub(super) fn holds(&self, ms: f64) -> bool {
        (self.from..=self.to).contains(&ms)
    }

    /// Round times for its scale, five or so.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let span = (self.to - self.from).max(LEAST_SPAN);
        let raw = span / (self.width / 90.0).max(2.0);
        let decade = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|s| s * decade)
            .find(|s| *s >= raw)
            .unwrap_or(raw);
        let first = (self.from / step).ceil() as i64;
        let last = ((self.from + span) / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

impl Axis {
    /// From `left` to `left + width`, with `gap` px for each cut. `label` gives the px that an event's label takes
    /// to the right of its moment.
    pub(super) fn new(
        lanes: &[Lane],
        left: f64,
        width: f64,
        gap: f64,
        label: impl Fn(&Lane, &Record) -> f64,
    ) -> Self {
        let busy = merge(busy(lanes));
        let weights: Vec<f64> = busy.iter().map(|b| weight(lanes, b)).collect();
        let total: f64 = weights.iter().sum();
        let room = width - gap * busy.len().saturating_sub(1) as f64;
        let mut x = left;
        let panels = busy
            .iter()
            .zip(&weights)
            .map(|(&(from, to), weight)| {
                let width = room * weight / total;
                let margin = margin(lanes, from, to, width, &label);
                let panel = Panel { from, to, x, width, margin, title: title(lanes, from, to) };
                x += width + gap;
                panel
            })
            .collect();
        Self { panels }
    }
}

fn moments(lanes: &[Lane]) -> impl Iterator<Item = (f64, Stretch)> {
    lanes.iter().flat_map(|l| l.timeline.events.iter().map(|r| (l.offset_ms + r.ms, r.timeline)))
}

/// From the first to the last event of each start and each stop, and each repair, sorted.
fn busy(lanes: &[Lane]) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for lane in lanes {
        let one = std::slice::from_ref(lane);
        for stretch in [Stretch::Startup, Stretch::Shutdown] {
            let of = moments(one).filter(|m| m.1 == stretch).map(|m| (m.0, m.0));
            out.extend(of.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))));
        }
        out.extend(moments(one).filter(|m| m.1 == Stretch::Running).map(|m| (m.0, m.0)));
    }
    out.sort_by(|a, b| a.0.total_cmp(&b.0));
    out
}

fn merge(busy: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (from, to) in busy {
        if let Some(last) = out.last_mut() {
            let longer = (last.1 - last.0).max(to - from);
            if from - last.1 <= (longer * MERGE_SHARE).max(MERGE_LEAST) {
                last.1 = last.1.max(to);
                continue;
            }
        }
        out.push((from, to));
    }
    while out.len() > MAX_PANELS {
        let gap = |i: &usize| out[i + 1].0 - out[*i].1;
        let Some(i) = (0..out.len() - 1).min_by(|a, b| gap(a).total_cmp(&gap(b))) else { break };
        out[i].1 = out.remove(i + 1).1;
    }
    out
}

/// What must be free to the right of a panel's time, so that no label leaves it: with the share `f` of the time
/// still to come after an event, `f * (width - margin) + margin` px are to its right.
fn margin(
    lanes: &[Lane],
    from: f64,
    to: f64,
    width: f64,
    label: &impl Fn(&Lane, &Record) -> f64,
) -> f64 {
    let span = (to - from).max(LEAST_SPAN);
    let needed = lanes.iter().flat_map(|lane| {
        lane.timeline.events.iter().filter_map(move |record| {
            let ms = lane.offset_ms + record.ms;
            let f = (from + span - ms) / span;
            // At the very left it has the whole width, and no margin could give it more.
            ((from..=to).contains(&ms) && f < 0.99)
                .then(|| (label(lane, record) - f * width) / (1.0 - f))
        })
    });
    needed.fold(0.0, f64::max).min(width * MOST_MARGIN)
}

/// By what has to be written in it: the events of its fullest lane.
fn weight(lanes: &[Lane], &(from, to): &(f64, f64)) -> f64 {
    let events = |lane: &Lane| {
        moments(std::slice::from_ref(lane)).filter(|m| (from..=to).contains(&m.0)).count()
    };
    lanes.iter().map(events).max().unwrap_or(0).max(3) as f64
}

fn title(lanes: &[Lane], from: f64, to: f64) -> &'static str {
    let holds = |stretch| moments(lanes).any(|m| m.1 == stretch && (from..=to).contains(&m.0));
    match (holds(Stretch::Startup), holds(Stretch::Shutdown)) {
        (true, true) => "start and stop",
        (true, false) => "start",
        (false, true) => "stop",
        (false, false) => "running",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lanes;
    use super::*;

    #[test]
    fn starts_together_each_stop_apart() {
        let axis = Axis::new(&lanes(), 10.0, 1000.0, 50.0, |_, _| 80.0);
        let seen: Vec<_> = axis.panels.iter().map(|p| (p.title, p.from, p.to)).collect();
        assert_eq!(
            seen,
            [("start", 0.0, 343.0), ("stop", 20_012.0, 24_918.0), ("stop", 31_000.0, 36_031.0)]
        );
        let [a, .., z] = axis.panels.as_slice() else { panic!() };
        assert_eq!((a.x, z.x + z.width), (10.0, 1010.0));
        assert!(a.at(0.0) == a.x && a.at(343.0) == a.x + a.width - a.margin);
        assert_eq!(a.ticks(), [0.0, 200.0]);
        assert_eq!(z.ticks(), [32_000.0, 34_000.0, 36_000.0]);
    }

    #[test]
    fn no_label_leaves_its_panel() {
        let label = |_: &Lane, r: &Record| 20.0 + 10.0 * r.event.name().len() as f64;
        let lanes = lanes();
        let axis = Axis::new(&lanes, 0.0, 1200.0, 50.0, label);
        for panel in &axis.panels {
            for lane in &lanes {
                for r in lane.timeline.events.iter().filter(|r| panel.holds(lane.offset_ms + r.ms))
                {
                    let end = panel.at(lane.offset_ms + r.ms) + label(lane, r);
                    assert!(end <= panel.x + panel.width + 0.01, "{r:?} {panel:?}");
                }
            }
        }
    }

    #[test]
    fn hundreds_of_repairs_stay_readable_and_nothing_is_no_panic() {
        assert_eq!(Axis::new(&[], 0.0, 100.0, 5.0, |_, _| 5.0).panels, []);
        let spread = (0..300).map(|i| (f64::from(i) * 5000.0, f64::from(i) * 5000.0)).collect();
        let merged = merge(spread);
        assert_eq!(merged.len(), MAX_PANELS);
        assert_eq!(merged[4].1, 299.0 * 5000.0);
    }
}
