//! Connections, publications and acknowledgements of one namespace in; how far a route has got among the proxies out.
//!
//! # Why only earlier connections are waited for
//! A proxy that connects later takes the newest table first thing, so it cannot hold a generation back; waiting for it would
//! make `Programmed` flap with every Pod that starts. Only while no proxy has the generation at all are later ones waited for.

use std::collections::BTreeMap;
use tollway_core::status::Convergence;

/// Every proxy connected to one namespace, and when each generation of each route was published.
#[derive(Debug, Default)]
pub struct Fleet {
    proxies: BTreeMap<u64, Proxy>,
    routes: BTreeMap<String, Generation>,
    /// Counts joins and publications, so that they can be ordered without a clock.
    moment: u64,
}

#[derive(Debug)]
struct Proxy {
    name: String,
    /// Pod uid, or account and incarnation: one proxy has one place.
    identity: String,
    joined: u64,
    /// Revision in force there.
    holds: Option<u64>,
    /// The last revision it turned down whole, and why.
    refused: Option<(u64, String)>,
    /// Routes it cannot serve, and why.
    without: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
struct Generation {
    generation: i64,
    published: u64,
    revision: u64,
}

impl Fleet {
    /// A proxy's stream begins; the number names it from now on. An older stream of the same proxy is forgotten.
    pub fn join(&mut self, name: String, identity: String) -> u64 {
        self.proxies.retain(|_, proxy| proxy.identity != identity);
        self.moment += 1;
        let joined = self.moment;
        self.proxies
            .insert(joined, Proxy { name, identity, joined, holds: None, refused: None, without: BTreeMap::new() });
        joined
    }

    /// A proxy's stream ended.
    pub fn leave(&mut self, id: u64) {
        self.proxies.remove(&id);
    }

    /// A revision went out that holds these routes in these generations; others are gone.
    pub fn published(&mut self, revision: u64, routes: &BTreeMap<String, i64>) {
        self.moment += 1;
        let published = self.moment;
        self.routes.retain(|name, _| routes.contains_key(name));
        for (name, &generation) in routes {
            let entry = self.routes.entry(name.clone()).or_insert(Generation { generation, published, revision });
            if entry.generation != generation {
                *entry = Generation { generation, published, revision };
            }
        }
    }

    /// A proxy took a revision whole.
    pub fn ack(&mut self, id: u64, revision: u64) {
        self.took(id, revision, BTreeMap::new());
    }

    /// A proxy took a revision but for some routes.
    pub fn took(&mut self, id: u64, revision: u64, without: BTreeMap<String, String>) {
        if let Some(proxy) = self.proxies.get_mut(&id) {
            proxy.holds = Some(revision);
            proxy.refused = None;
            proxy.without = without;
        }
    }

    /// A proxy took nothing of a revision.
    pub fn refuse(&mut self, id: u64, revision: u64, reason: String) {
        if let Some(proxy) = self.proxies.get_mut(&id) {
            proxy.refused = Some((revision, reason));
        }
    }

    /// Where a route stands; a route that was never published is nowhere.
    pub fn convergence(&self, route: &str) -> Convergence {
        let connected = u32::try_from(self.proxies.len()).unwrap_or(u32::MAX);
        let mut out = Convergence { connected, ..Convergence::default() };
        let Some(generation) = self.routes.get(route) else { return out };
        let nobody = !self.proxies.values().any(|proxy| proxy.holds.is_some_and(|held| held >= generation.revision));
        for proxy in self.proxies.values() {
            let has = proxy.holds.is_some_and(|held| held >= generation.revision);
            let cannot = proxy.without.get(route);
            if has && cannot.is_none() {
                out.programmed += 1;
            } else if nobody || proxy.joined < generation.published || cannot.is_some() || proxy.refused.is_some() {
                let why = cannot.or(proxy.refused.as_ref().map(|(_, reason)| reason));
                out.lagging.push((proxy.name.clone(), why.cloned()));
            }
        }
        out.lagging.sort();
        out
    }

    /// Proxies connected now.
    pub fn connected(&self) -> usize {
        self.proxies.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(all: &[(&str, i64)]) -> BTreeMap<String, i64> {
        all.iter().map(|(name, generation)| ((*name).to_owned(), *generation)).collect()
    }

    fn join(fleet: &mut Fleet, name: &str) -> u64 {
        fleet.join(name.into(), format!("uid-{name}"))
    }

    #[test]
    fn a_generation_waits_for_those_connected_before_it() {
        let mut fleet = Fleet::default();
        let (a, b) = (join(&mut fleet, "a"), join(&mut fleet, "b"));
        fleet.published(10, &routes(&[("r", 1)]));
        fleet.ack(a, 10);
        let now = fleet.convergence("r");
        assert_eq!((now.connected, now.programmed), (2, 1));
        assert_eq!(now.lagging, [("b".to_owned(), None)]);
        fleet.ack(b, 10);
        assert_eq!(fleet.convergence("r"), Convergence { connected: 2, programmed: 2, lagging: vec![] });
    }

    #[test]
    fn one_that_connects_later_does_not_hold_it_back() {
        let mut fleet = Fleet::default();
        let a = join(&mut fleet, "a");
        fleet.published(10, &routes(&[("r", 1)]));
        fleet.ack(a, 10);
        join(&mut fleet, "late");
        assert_eq!(fleet.convergence("r"), Convergence { connected: 2, programmed: 1, lagging: vec![] });
    }

    #[test]
    fn one_that_connects_first_of_all_is_waited_for() {
        let mut fleet = Fleet::default();
        fleet.published(10, &routes(&[("r", 1)]));
        let a = join(&mut fleet, "a");
        assert_eq!(fleet.convergence("r").lagging, [("a".to_owned(), None)]);
        fleet.ack(a, 10);
        assert_eq!(fleet.convergence("r"), Convergence { connected: 1, programmed: 1, lagging: vec![] });
    }

    #[test]
    fn another_routes_change_does_not_move_this_one() {
        let mut fleet = Fleet::default();
        let a = join(&mut fleet, "a");
        fleet.published(10, &routes(&[("r", 1), ("s", 1)]));
        fleet.ack(a, 10);
        fleet.published(11, &routes(&[("r", 1), ("s", 2)]));
        assert_eq!(fleet.convergence("r").programmed, 1);
        assert_eq!(fleet.convergence("s").lagging.len(), 1);
    }

    #[test]
    fn a_refused_route_lags_with_the_proxys_reason_and_a_refused_revision_too() {
        let mut fleet = Fleet::default();
        let (a, b) = (join(&mut fleet, "a"), join(&mut fleet, "b"));
        fleet.published(10, &routes(&[("r", 1), ("s", 1)]));
        fleet.took(a, 10, BTreeMap::from([("r".to_owned(), "no feature x".to_owned())]));
        fleet.refuse(b, 10, "bad digest".into());
        assert_eq!(
            fleet.convergence("r").lagging,
            [("a".to_owned(), Some("no feature x".to_owned())), ("b".to_owned(), Some("bad digest".to_owned()))]
        );
        assert_eq!(fleet.convergence("s").programmed, 1);
    }

    #[test]
    fn a_proxy_that_left_or_came_again_counts_once() {
        let mut fleet = Fleet::default();
        let old = join(&mut fleet, "a");
        fleet.published(10, &routes(&[("r", 1)]));
        let new = join(&mut fleet, "a");
        fleet.ack(old, 10);
        assert_eq!(fleet.convergence("r").programmed, 0);
        fleet.ack(new, 10);
        assert_eq!(fleet.convergence("r"), Convergence { connected: 1, programmed: 1, lagging: vec![] });
        fleet.leave(new);
        assert_eq!(fleet.convergence("r").connected, 0);
    }

    #[test]
    fn a_route_made_again_starts_anew() {
        let mut fleet = Fleet::default();
        let a = join(&mut fleet, "a");
        fleet.published(10, &routes(&[("r", 1)]));
        fleet.ack(a, 10);
        fleet.published(11, &routes(&[]));
        fleet.published(12, &routes(&[("r", 1)]));
        assert_eq!(fleet.convergence("r").programmed, 0);
    }
}
