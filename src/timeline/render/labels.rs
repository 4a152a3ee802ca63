//! Where each event's label goes. A label stands above the bar, begins at its tick and extends to the right; a line
//! leads down from it. It lies higher than every label that begins within its width, so nothing crosses, and a
//! cluster reads from top to bottom in the order of time.

/// A tick and the width of what is written at it, in px.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Label {
    pub(super) x: f64,
    pub(super) width: f64,
}

/// The row of each label, 0 the one next to the bar. `labels` are sorted by `x`.
pub(super) fn rows(labels: &[Label]) -> Vec<usize> {
    let mut rows = vec![0; labels.len()];
    for i in (0..labels.len()).rev() {
        let end = labels[i].x + labels[i].width;
        rows[i] = (i + 1..labels.len())
            .filter(|j| labels[*j].x < end)
            .map(|j| rows[j] + 1)
            .max()
            .unwrap_or(0);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cluster_is_a_staircase_and_a_lone_label_is_low() {
        let at = |x| Label { x, width: 50.0 };
        assert_eq!(rows(&[at(0.0), at(1.0), at(1.0), at(200.0)]), [2, 1, 0, 0]);
        assert_eq!(rows(&[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn nothing_lies_on_anything(mut xs in proptest::collection::vec((0.0..900.0f64, 20.0..200.0f64), 0..30)) {
            xs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let labels: Vec<Label> = xs.iter().map(|&(x, width)| Label { x, width }).collect();
            let rows = rows(&labels);
            for i in 0..labels.len() {
                for j in i + 1..labels.len() {
                    // j's line runs through every row below its own label.
                    let within = labels[j].x < labels[i].x + labels[i].width;
                    prop_assert!(!within || rows[i] > rows[j], "{i} {j} {rows:?}");
                }
            }
        }
    }
}
