//! Random worlds: whatever happens in whatever order, the cap holds and the figures cover the truth.

use super::world::{Action, World};
use proptest::collection::vec;
use proptest::prelude::*;

fn action() -> impl Strategy<Value = Action> {
    let (proxy, operator, message) = (0..4_usize, 0..2_usize, any::<usize>);
    prop_oneof![
        12 => (proxy.clone(), 0..3_usize, 1..80_u64)
            .prop_map(|(proxy, person, worst)| Action::Request { proxy, person, worst }),
        8 => (proxy.clone(), 0..8_usize, 0..=100_u64, any::<bool>())
            .prop_map(|(proxy, request, share, known)| Action::Settle { proxy, request, share, known }),
        14 => proxy.clone().prop_map(|proxy| Action::Poll { proxy }),
        28 => (message(), prop::bool::weighted(0.15)).prop_map(|(message, again)| Action::Deliver { message, again }),
        14 => (proxy.clone(), prop::bool::weighted(0.2)).prop_map(|(proxy, copies)| Action::Talk { proxy, copies }),
        2 => message().prop_map(|message| Action::Lose { message }),
        4 => (proxy.clone(), operator.clone()).prop_map(|(proxy, operator)| Action::Connect { proxy, operator }),
        2 => (proxy.clone(), 0..=100_u64).prop_map(|(proxy, share)| Action::Restart { proxy, share }),
        1 => (proxy, operator.clone(), 0..=100_u64)
            .prop_map(|(proxy, operator, share)| Action::PodGone { proxy, operator, share }),
        1 => operator.clone().prop_map(|operator| Action::Crash { operator }),
        2 => (operator.clone(), any::<bool>()).prop_map(|(operator, written)| Action::Unlucky { operator, written }),
        6 => prop_oneof![Just(50_i64), Just(1_000), Just(5_000)].prop_map(|ms| Action::Pass { ms }),
        2 => prop_oneof![Just(61_000_i64), Just(1_200_000), Just(2_600_000)].prop_map(|ms| Action::Pass { ms }),
        3 => operator.clone().prop_map(|operator| Action::Tick { operator }),
        2 => (operator.clone(), 0..1_500_u64).prop_map(|(operator, cap)| Action::Cap { operator, cap }),
        1 => (operator.clone(), 0..300_u64)
            .prop_map(|(operator, amount)| Action::Infrastructure { operator, amount }),
        1 => (operator.clone(), 1..4_u64).prop_map(|(operator, id)| Action::Credit { operator, id }),
        1 => (operator, 0..600_u64, 0..900_u64)
            .prop_map(|(operator, user, client)| Action::Shares { operator, user, client }),
        2 => (0..4_usize, 0..3_usize).prop_map(|(proxy, person)| Action::Forget { proxy, person }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cap_holds_and_the_figures_cover_the_truth(
        proxies in 2..=4_usize,
        actions in vec(action(), 1..250),
    ) {
        let mut world = World::new(2, proxies, 0);
        for action in &actions {
            world.act(action);
            world.check();
        }
        world.heal();
    }

    #[test]
    fn the_share_of_every_user_and_client_holds_too(
        proxies in 2..=4_usize,
        actions in vec(action(), 1..250),
    ) {
        let mut world = World::new(2, proxies, 3);
        for action in &actions {
            world.act(action);
            world.check();
        }
        world.heal();
    }
}
