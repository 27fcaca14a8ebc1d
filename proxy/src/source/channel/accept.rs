//! An update and the table held in; the table to serve and the answer to send out. Pure.

use crate::source::{Secrets, Serving};
use std::sync::Arc;
use tollway_core::control::watch_up::Message;
use tollway_core::control::{Ack, Nack, RouteRefusal, SecretSet, TableUpdate};
use tollway_core::wire::{self, Decoded};

/// What to put in force.
///
/// # Errors
/// Why nothing of the update is taken.
pub fn take(held: Option<&Serving>, update: &TableUpdate) -> Result<Serving, String> {
    let TableUpdate { revision, digest, table: bytes, resync } = update;
    if let Some(held) = held.filter(|held| held.revision > *revision && !resync) {
        return Err(format!("revision {revision} is older than {}, which is in force", held.revision));
    }
    let secrets = held.map(|held| Arc::clone(&held.secrets)).unwrap_or_default();
    if bytes.is_empty() {
        return match held {
            Some(held) if held.digest == *digest => Ok(Serving { revision: *revision, secrets, ..held.clone() }),
            _ => Err(format!("the update with digest {digest} brought no table, and the one held has another digest")),
        };
    }
    let Decoded { table, unserved } = wire::decode(bytes, digest, wire::FEATURES).map_err(|error| error.to_string())?;
    Ok(Serving { revision: *revision, digest: digest.clone(), table, unserved, secrets })
}

/// The answer to a table that is in force: whole, or all but some routes.
pub fn answer(serving: &Serving) -> Message {
    let refusal = |(route, reason): (&String, &String)| RouteRefusal { route: route.clone(), reason: reason.clone() };
    if serving.unserved.is_empty() {
        Message::Ack(Ack { revision: serving.revision, digest: serving.digest.clone() })
    } else {
        let routes = serving.unserved.iter().map(refusal).collect();
        Message::Nack(Nack { revision: serving.revision, reason: String::new(), routes })
    }
}

/// The answer to an update of which nothing is taken.
pub fn refusal(revision: u64, reason: String) -> Message {
    Message::Nack(Nack { revision, reason, routes: Vec::new() })
}

/// Every Secret at hand.
pub fn secrets(set: SecretSet) -> Secrets {
    Secrets::from_bytes(set.secrets.into_iter().map(|(name, of)| (name, of.data)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollway_core::table::Table;

    fn update(revision: u64, namespace: &str) -> TableUpdate {
        let table = Table { namespace: namespace.to_owned(), ..Table::default() };
        let wire::Encoded { bytes, digest } = wire::encode(&table);
        TableUpdate { revision, digest, table: bytes, resync: false }
    }

    #[test]
    fn a_table_is_taken_and_acknowledged() {
        let serving = take(None, &update(5, "team")).unwrap();
        assert_eq!((serving.revision, serving.table.namespace.as_str()), (5, "team"));
        let Message::Ack(ack) = answer(&serving) else { panic!("a whole table was not acknowledged") };
        assert_eq!((ack.revision, ack.digest), (5, update(5, "team").digest));
    }

    #[test]
    fn an_older_revision_is_taken_only_as_a_resync() {
        let held = take(None, &update(5, "team")).unwrap();
        let older = update(4, "team2");
        assert!(take(Some(&held), &older).unwrap_err().contains("older than 5"));
        let resync = TableUpdate { resync: true, ..older };
        assert_eq!(take(Some(&held), &resync).unwrap().revision, 4);
        assert!(take(Some(&held), &update(5, "team")).is_ok(), "the same revision again is no harm");
    }

    #[test]
    fn an_empty_table_confirms_the_one_held_and_nothing_else() {
        let held = take(None, &update(5, "team")).unwrap();
        let confirm = |digest: &str| TableUpdate { revision: 9, digest: digest.to_owned(), ..TableUpdate::default() };
        let next = take(Some(&held), &confirm(&held.digest)).unwrap();
        assert_eq!((next.revision, &next.table), (9, &held.table));
        assert!(take(Some(&held), &confirm("other")).is_err());
        assert!(take(None, &confirm(&held.digest)).is_err());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut damaged = update(5, "team");
        damaged.table.truncate(damaged.table.len() - 1);
        assert!(take(None, &damaged).unwrap_err().contains("digest"));
        let unreadable = TableUpdate { table: b"?".to_vec(), digest: wire::digest(b"?"), ..damaged };
        assert!(take(None, &unreadable).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn secrets_survive_a_table() {
        let data = [("apiKey".to_owned(), b"sk-1".to_vec())].into();
        let set = SecretSet { secrets: [("openai".to_owned(), tollway_core::control::SecretData { data })].into() };
        let held = Serving { secrets: Arc::new(secrets(set)), ..take(None, &update(5, "team")).unwrap() };
        let next = take(Some(&held), &update(6, "team2")).unwrap();
        assert_eq!(next.secrets.get("openai", "apiKey"), Some("sk-1"));
    }

    #[test]
    fn a_route_of_a_later_version_is_named_and_the_rest_applies() {
        let text = r#"{"version":1,"namespace":"team","models":{"a":"later"},"routes":{"later":{"requires":["voice"]}},"budgets":{}}"#;
        let update =
            TableUpdate { revision: 5, digest: wire::digest(text.as_bytes()), table: text.into(), resync: false };
        let serving = take(None, &update).unwrap();
        let Message::Nack(nack) = answer(&serving) else { panic!("a route that is not served was acknowledged") };
        assert_eq!((nack.routes.len(), nack.routes[0].route.as_str(), nack.reason.as_str()), (1, "later", ""));
    }
}
