//! Bytes to exchanges.

use clew::model::{EndReason, Side};
use clew::protocol::Settings;
use divan::Bencher;

use super::recorded::{Exchanges, SAMPLE, player};

/// An exchange of a connection that goes on.
#[divan::bench(sample_size = SAMPLE, args = [Side::Client, Side::Server])]
fn exchange(bencher: Bencher<'_, '_>, side: Side) {
    let mut exchanges = Exchanges::new(side);
    bencher.bench_local(|| exchanges.parse().count());
}

/// A connection of one exchange.
#[divan::bench(sample_size = SAMPLE, args = [Side::Client, Side::Server])]
fn connection(bencher: Bencher<'_, '_>, side: Side) {
    let (mut exchanges, settings) = (Exchanges::new(side), Settings::default());
    bencher.bench_local(|| {
        let mut player = player(side, &settings);
        for piece in exchanges.pieces() {
            player.play(piece);
        }
        player.end(EndReason::Closed);
        player.events
    });
}
