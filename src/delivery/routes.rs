//! Routes: which carriers may be given a message, in which order; and the lane to each, with its circuit breaker and its
//! places. The first route that fits is the one.
//!
//! Must not know messages' contents, nor what becomes of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::UnixMillis;
use crate::delivery::breaker::Breaker;
use crate::delivery::provider::Provider;
use crate::otp::channel::Channel;
use crate::otp::phone::{Country, E164};
use crate::otp::policy::Ways;

/// How long a message waits for a place in a lane that is full, in milliseconds.
const BUSY_MILLIS: u64 = 50;

/// The way to one carrier.
pub struct Lane {
    /// The carrier.
    pub provider: Arc<dyn Provider>,
    /// Whether it is worth trying.
    pub breaker: Breaker,
    /// Whether a message costs money there: then a submission is written down before it happens.
    pub counts: bool,
    places: Arc<Semaphore>,
}

impl Lane {
    /// A lane with room for `places` messages at once.
    #[must_use]
    pub fn new(provider: Arc<dyn Provider>, counts: bool, places: usize) -> Self {
        Self { provider, breaker: Breaker::default(), counts, places: Arc::new(Semaphore::new(places)) }
    }
}

/// For which messages which lanes are taken, in order.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// On this channel; on each when none is named.
    pub channel: Option<Channel>,
    /// To these countries; to each when none is named.
    pub countries: Vec<Country>,
    /// To numbers that begin so, in E.164 with `+`; to each when none is named.
    pub prefixes: Vec<String>,
    /// The lanes, by their places in the list of all.
    pub lanes: Vec<usize>,
}

impl Route {
    fn fits(&self, channel: Channel, country: Option<Country>, number: &E164) -> bool {
        let begins = |prefix: &String| number.as_str().starts_with(prefix.as_str());
        self.channel.is_none_or(|wanted| wanted == channel)
            && (self.countries.is_empty() || country.is_some_and(|country| self.countries.contains(&country)))
            && (self.prefixes.is_empty() || self.prefixes.iter().any(begins))
    }
}

/// All routes and lanes.
pub struct Routes {
    lanes: Vec<Lane>,
    routes: Vec<Route>,
}

/// A place in a lane; it is free again when this is dropped.
pub struct Place<'a> {
    /// The lane.
    pub lane: &'a Lane,
    _permit: OwnedSemaphorePermit,
}

/// Who is known to have had a message.
#[derive(Clone, Copy, Debug)]
pub struct Known<'m> {
    /// They will not take it.
    pub refused: &'m [String],
    /// They may have taken it, and did not say so.
    pub doubted: &'m [String],
}

/// Where a message goes next.
pub enum Next<'a> {
    /// There.
    Lane(Place<'a>),
    /// Nowhere before this instant.
    Wait(UnixMillis),
    /// Nowhere: no carrier offers it, or none is left that has not refused it.
    Nobody,
}

impl Routes {
    /// Those of a configuration. Without any route every lane is taken, in order.
    #[must_use]
    pub fn new(lanes: Vec<Lane>, mut routes: Vec<Route>) -> Self {
        if routes.is_empty() {
            routes.push(Route { lanes: (0..lanes.len()).collect(), ..Route::default() });
        }
        Self { lanes, routes }
    }

    /// Every lane.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Messages that can be on their way at once, over all lanes.
    #[must_use]
    pub fn places(&self) -> usize {
        self.lanes.iter().map(|lane| lane.places.available_permits()).sum()
    }

    fn of<'a>(&'a self, channel: Channel, country: Option<Country>, number: &E164) -> impl Iterator<Item = &'a Lane> {
        let route = self.routes.iter().find(|route| route.fits(channel, country, number));
        let lanes = route.map(|route| route.lanes.as_slice()).unwrap_or_default();
        let lanes = lanes.iter().filter_map(|index| self.lanes.get(*index));
        lanes.filter(move |lane| lane.provider.channels().contains(&channel))
    }

    /// Where a message goes at `now`, given who refused it for good, who may have it already, and who was tried in vain just
    /// now. Who may have it is asked again only where nobody else can be asked.
    #[must_use]
    pub fn next<'a>(
        &'a self,
        (channel, country, number): (Channel, Option<Country>, &E164),
        Known { refused, doubted }: Known<'_>,
        tried: &[String],
        now: UnixMillis,
    ) -> Next<'a> {
        let is_in = |names: &[String], lane: &Lane| names.iter().any(|name| name == lane.provider.name());
        let mut wait: Option<UnixMillis> = None;
        for is_doubted in [false, true] {
            let lanes = self.of(channel, country, number).filter(|lane| !is_in(refused, lane));
            for lane in lanes.filter(|lane| is_in(doubted, lane) == is_doubted) {
                let until = if is_in(tried, lane) {
                    now
                } else {
                    match Arc::clone(&lane.places).try_acquire_owned() {
                        Ok(permit) => match lane.breaker.admit(now) {
                            Ok(()) => return Next::Lane(Place { lane, _permit: permit }),
                            Err(until) => until,
                        },
                        Err(_) if lane.breaker.is_open(now) => UnixMillis(now.0 + BUSY_MILLIS),
                        // It works and is full: what comes now waits for it, and does not turn to the next one.
                        Err(_) => return Next::Wait(UnixMillis(now.0 + BUSY_MILLIS)),
                    }
                };
                wait = Some(wait.map_or(until, |wait| wait.min(until)));
            }
        }
        wait.map_or(Next::Nobody, Next::Wait)
    }
}

impl Ways for Routes {
    fn lead_to(&self, channel: Channel, country: Option<Country>, number: &E164) -> bool {
        self.of(channel, country, number).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::breaker::FAILURES;
    use crate::delivery::provider::{Failure, Outgoing, Receipt};
    use crate::otp::store::Later;

    struct Carrier(&'static str, Vec<Channel>);

    impl Provider for Carrier {
        fn name(&self) -> &str {
            self.0
        }

        fn channels(&self) -> &[Channel] {
            &self.1
        }

        fn deliver(&self, _: Outgoing) -> Later<'_, Result<Receipt, Failure>> {
            Box::pin(std::future::ready(Ok(Receipt::delivered())))
        }
    }

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn lane(name: &'static str, channels: &[Channel], places: usize) -> Lane {
        Lane::new(Arc::new(Carrier(name, channels.to_vec())), true, places)
    }

    fn number(text: &str) -> (Option<Country>, E164) {
        let phone = crate::otp::phone::Phone::parse(text, None).unwrap();
        (phone.country, phone.number)
    }

    const NOBODY: Known<'static> = Known { refused: &[], doubted: &[] };

    fn taken<'a>(next: &Next<'a>) -> Option<&'a str> {
        if let Next::Lane(place) = next { Some(place.lane.provider.name()) } else { None }
    }

    #[test]
    fn the_first_route_that_fits_is_taken_in_its_order() {
        let both = [Channel::Sms, Channel::Voice];
        let lanes = vec![lane("a", &both, 9), lane("b", &both, 9), lane("c", &[Channel::Sms], 9)];
        let german = Route { countries: vec!["DE".parse().unwrap()], lanes: vec![1, 0], ..Route::default() };
        let prefix = Route { prefixes: vec!["+49151".to_owned()], lanes: vec![2], ..Route::default() };
        let calls = Route { channel: Some(Channel::Voice), lanes: vec![0, 2], ..Route::default() };
        let routes = Routes::new(lanes, vec![prefix, german, calls]);
        let go = |text: &str, channel| {
            let (country, number) = number(text);
            taken(&routes.next((channel, country, &number), NOBODY, &[], NOW)).map(str::to_owned)
        };
        assert_eq!(go("+4915112345678", Channel::Sms).as_deref(), Some("c"));
        assert_eq!(go("+4915112345678", Channel::Voice), None, "the first route that fits is the one");
        assert_eq!(go("+4916012345678", Channel::Sms).as_deref(), Some("b"));
        assert_eq!(go("+12025550123", Channel::Voice).as_deref(), Some("a"));
        assert_eq!(go("+12025550123", Channel::Sms), None);
        let (country, number) = number("+12025550123");
        assert!(routes.lead_to(Channel::Voice, country, &number) && !routes.lead_to(Channel::Sms, country, &number));
    }

    #[test]
    fn who_refused_is_out_who_was_tried_is_waited_for_and_who_is_full_is_not_passed_over() {
        let routes = Routes::new(vec![lane("a", &[Channel::Sms], 1), lane("b", &[Channel::Sms], 1)], Vec::new());
        let (country, number) = number("+4915112345678");
        let next = |refused: &[&str], tried: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            let (refused, tried) = (own(refused), own(tried));
            routes.next((Channel::Sms, country, &number), Known { refused: &refused, ..NOBODY }, &tried, NOW)
        };
        assert_eq!(taken(&next(&["a"], &[])), Some("b"));
        assert_eq!(taken(&next(&[], &["a"])), Some("b"));
        assert!(matches!(next(&[], &["a", "b"]), Next::Wait(NOW)));
        assert!(matches!(next(&["a"], &["b"]), Next::Wait(NOW)));
        assert!(matches!(next(&["a", "b"], &[]), Next::Nobody));
        let held = next(&[], &[]);
        assert_eq!(taken(&held), Some("a"));
        assert!(matches!(next(&[], &[]), Next::Wait(until) if until > NOW));
        drop(held);
        for _ in 0..FAILURES {
            routes.lanes()[0].breaker.failed(NOW);
        }
        assert_eq!(taken(&next(&[], &[])), Some("b"), "who is broken is passed over");
    }

    #[test]
    fn who_may_have_it_is_asked_again_only_where_nobody_else_can_be() {
        let lanes = vec![lane("a", &[Channel::Sms], 1), lane("b", &[Channel::Sms], 1), lane("c", &[Channel::Voice], 1)];
        let routes = Routes::new(lanes, Vec::new());
        let (country, number) = number("+4915112345678");
        let next = |refused: &[&str], tried: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            let (refused, doubted, tried) = (own(refused), own(&["a"]), own(tried));
            routes.next((Channel::Sms, country, &number), Known { refused: &refused, doubted: &doubted }, &tried, NOW)
        };
        let held = next(&[], &[]);
        assert_eq!(taken(&held), Some("b"));
        assert!(matches!(next(&[], &[]), Next::Wait(_)), "who works and is full is waited for");
        drop(held);
        assert_eq!(taken(&next(&["b"], &[])), Some("a"));
        assert_eq!(taken(&next(&[], &["b"])), Some("a"));
        for _ in 0..FAILURES {
            routes.lanes()[1].breaker.failed(NOW);
        }
        assert_eq!(taken(&next(&[], &[])), Some("a"), "the other one is broken");
        assert!(matches!(next(&["a", "b"], &[]), Next::Nobody));
    }
}
