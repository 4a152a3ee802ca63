//! When an Envoy that runs well will never listen: another process had the public listener's port, and has let go of it.
//!
//! Envoy refuses a listener whose port is taken and tells the agent so, which sends it again only when something about
//! it changes. Nobody tries again by himself.

/// So many looks in a row must find the port free: an Envoy that was just sent its listener opens it within one.
const FREE_LOOKS: u32 = 8;

/// What was found about the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// Envoy has an active listener on it, and it accepts.
    Ours,
    /// It accepts, and Envoy has no listener on it.
    Foreign,
    /// Nobody accepts there.
    Closed,
    /// Envoy did not say what it has.
    Unknown,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The public listener is open.
    Open,
    /// It can still come.
    Awaited,
    /// It cannot come while somebody else has the port.
    Taken,
    /// It will not come: this Envoy must be replaced.
    Missed,
}

/// Judges the public listener of one life of Envoy, from when it is LIVE.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listener {
    was_taken: bool,
    free: u32,
}

impl Listener {
    /// After a look.
    pub(crate) fn look(&mut self, port: Port) -> Judgement {
        match port {
            Port::Ours => return Judgement::Open,
            Port::Foreign => (self.was_taken, self.free) = (true, 0),
            Port::Closed => self.free += 1,
            Port::Unknown => {}
        }
        match self.was_taken {
            false => Judgement::Awaited,
            true if self.free == 0 => Judgement::Taken,
            true if self.free < FREE_LOOKS => Judgement::Awaited,
            true => Judgement::Missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(ports: &[Port]) -> Vec<Judgement> {
        let mut listener = Listener::default();
        ports.iter().map(|port| listener.look(*port)).collect()
    }

    #[test]
    fn a_port_that_is_only_closed_is_awaited_for_ever() {
        assert_eq!(judged(&[Port::Closed; 1000]), [Judgement::Awaited; 1000]);
        assert_eq!(judged(&[Port::Closed, Port::Ours]), [Judgement::Awaited, Judgement::Open]);
    }

    #[test]
    fn a_port_that_somebody_has_let_go_of_is_missed_after_a_while() {
        let mut ports = vec![Port::Closed, Port::Foreign, Port::Foreign];
        ports.extend([Port::Closed; FREE_LOOKS as usize]);
        let judged = judged(&ports);
        assert_eq!(judged[..3], [Judgement::Awaited, Judgement::Taken, Judgement::Taken]);
        assert!(judged[3..judged.len() - 1].iter().all(|j| *j == Judgement::Awaited), "{judged:?}");
        assert_eq!(judged.last(), Some(&Judgement::Missed));
    }

    #[test]
    fn one_that_is_taken_again_or_that_envoy_gets_after_all_is_not_missed() {
        let mut listener = Listener::default();
        listener.look(Port::Foreign);
        for _ in 0..100 {
            for _ in 1..FREE_LOOKS {
                assert_ne!(listener.look(Port::Closed), Judgement::Missed);
            }
            assert_eq!(listener.look(Port::Foreign), Judgement::Taken);
        }
        listener.look(Port::Closed);
        assert_eq!(listener.look(Port::Ours), Judgement::Open);
    }

    #[test]
    fn an_envoy_that_does_not_say_proves_nothing() {
        assert_eq!(judged(&[Port::Unknown; 100]), [Judgement::Awaited; 100]);
        let mut listener = Listener::default();
        listener.look(Port::Foreign);
        assert!((0..100).all(|_| listener.look(Port::Unknown) == Judgement::Taken));
    }
}
