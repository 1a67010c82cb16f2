//! What this process knows of the store's past, and how it tells a store that was put back in time: it was without its marker and
//! has it again, its description is older than it was, or beats are gone that had been there for a while. Such a store has
//! forgotten calls that were admitted, so every quota has to begin fully charged. Must not know how the store is asked.
//!
//! A beat is written about once a second, in every place where it is looked for, by whoever looks: the store's own time. What was
//! written in the last seconds before a server crashed may be gone (`appendfsync everysec`), and so may what a failover lost.
//! That is as the operator set it up, and charges nobody. A beat is therefore missed only where another one was seen two
//! seconds after it.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::store::redis::place::Place;

/// How much later (ms) a beat has to be seen, for the one before it to be missed when it is gone; and from how long on the time
/// between two beats is remembered.
pub(super) const SETTLES: u64 = 2_000;
/// How often (ms) what this machine remembers of a store is brought up to date.
const NOTE: u64 = 30_000;
/// The place whose beats this machine remembers. A server has all places; of a cluster it is one.
pub(super) const NOTED: Place = Place::Shard(0);

/// What beats in a place, in the store's milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// The last one.
    pub(super) at: u64,
    /// The last two between which there was none for longer than [`SETTLES`]. Whoever has seen one between them has seen
    /// another past, also where somebody else has beaten since.
    pub(super) pause: (u64, u64),
}

/// What was seen of a place's beats.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// One that must not be gone.
    settled: u64,
    /// One that may be, if its server crashes now.
    newest: u64,
}

impl Seen {
    const fn sees(&mut self, beat: Beat) {
        let (from, to) = beat.pause;
        // A crash has cost the newest one, as it may: what must not be gone is what was there before it.
        if from < self.newest && self.newest < to {
            self.newest = from;
        }
        if beat.at >= self.newest.saturating_add(SETTLES) {
            self.settled = self.newest;
            self.newest = beat.at;
        }
    }

    const fn misses(self, beat: Beat) -> bool {
        let (from, to) = beat.pause;
        beat.at < self.settled || from < self.settled && self.settled < to
    }
}

/// The store as it was when it was looked at last.
struct Served {
    marker: Vec<u8>,
    charged_at: u64,
    /// Whether it was without its marker since.
    lost: bool,
    beats: HashMap<Place, Seen>,
    /// What was handed out to be remembered.
    noted: u64,
}

/// What is to be thought of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It goes on from where it was, or nothing is known of it.
    Same,
    /// It does not, and its quotas were charged since.
    Charged,
    /// It does not, and they were not.
    Uncharged,
}

/// What is known of the past.
pub(super) struct Past(Mutex<Option<Served>>);

impl Past {
    /// Nothing is.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Another process on this machine has served from the store: under this marker, and this beat has to be there.
    pub(super) fn remembered(marker: String, settled: u64) -> Self {
        let seen = Seen { settled, newest: settled };
        let beats = HashMap::from([(NOTED, seen)]);
        Self(Mutex::new(Some(Served {
            marker: marker.into_bytes(),
            charged_at: 0,
            lost: false,
            beats,
            noted: settled,
        })))
    }

    /// Whether it is a store that somebody made anew, quotas and all, in the place of the one that is known: a first start, which
    /// took the emptied store for a new one. Nobody who knows better serves from it.
    pub(super) fn is_strange(&self, marker: &[u8], charged_at: u64) -> bool {
        charged_at == 0 && self.0.lock().as_ref().is_some_and(|served| served.marker != marker)
    }

    /// It was found without its marker.
    pub(super) fn lost(&self) {
        if let Some(served) = self.0.lock().as_mut() {
            served.lost = true;
        }
    }

    /// What is to be thought of a store with this marker, whose quotas were charged then, and in which this beats.
    pub(super) fn judge(&self, marker: &[u8], charged_at: u64, beats: &[(Place, Beat)]) -> Judgement {
        let known = self.0.lock();
        let Some(served) = known.as_ref() else { return Judgement::Same };
        let misses = |(place, beat): &(Place, Beat)| served.beats.get(place).is_some_and(|seen| seen.misses(*beat));
        if !served.lost && served.marker == marker && served.charged_at <= charged_at && !beats.iter().any(misses) {
            return Judgement::Same;
        }
        // Whoever charges them does it after he has found out, and so after all that was seen before.
        let seen = served.beats.values().map(|seen| seen.settled).max().unwrap_or_default();
        if charged_at > served.charged_at.max(seen) { Judgement::Charged } else { Judgement::Uncharged }
    }

    /// From now on it is served from, with what [`Past::judge`] thought of it.
    pub(super) fn serves(&self, judgement: Judgement, marker: &[u8], charged_at: u64, beats: &[(Place, Beat)]) {
        let mut known = self.0.lock();
        if judgement != Judgement::Same {
            // Beats of a past that the store has not had are not looked for again.
            *known = None;
        }
        let served = known.get_or_insert_with(|| Served {
            marker: marker.to_vec(),
            charged_at,
            lost: false,
            beats: HashMap::new(),
            noted: 0,
        });
        served.charged_at = charged_at;
        for (place, beat) in beats {
            served.beats.entry(*place).or_default().sees(*beat);
        }
    }

    /// The beat that must not be gone after a restart of this process; 0 where there is none yet.
    pub(super) fn settled(&self) -> u64 {
        let known = self.0.lock();
        known.as_ref().and_then(|served| served.beats.get(&NOTED)).map_or(0, |seen| seen.settled)
    }

    /// The marker and the beat that this machine should remember, where what it remembers is old.
    pub(super) fn to_note(&self) -> Option<(Vec<u8>, u64)> {
        let mut known = self.0.lock();
        let served = known.as_mut()?;
        let settled = served.beats.get(&NOTED)?.settled;
        if settled < served.noted.saturating_add(NOTE) {
            return None;
        }
        served.noted = settled;
        Some((served.marker.clone(), settled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_763_764_437_120;

    fn beat(at: u64) -> Vec<(Place, Beat)> {
        after_pause(at, (0, NOW))
    }

    fn after_pause(at: u64, pause: (u64, u64)) -> Vec<(Place, Beat)> {
        vec![(NOTED, Beat { at, pause })]
    }

    /// Has served for so many seconds, under the marker `m`.
    fn served(seconds: u64) -> Past {
        let past = Past::new();
        for second in 0..=seconds {
            let beats = beat(NOW + second * 1_000);
            assert_eq!(past.judge(b"m", 7, &beats), Judgement::Same);
            past.serves(Judgement::Same, b"m", 7, &beats);
        }
        past
    }

    #[test]
    fn what_a_crash_may_lose_is_not_missed_and_more_is() {
        let past = served(10);
        // Beats at 0, 2, .. 10 s were noted; the last one may be gone.
        for (lost, missed) in [(0, false), (1_000, false), (2_000, false), (2_001, true), (9_000, true)] {
            let judgement = if missed { Judgement::Uncharged } else { Judgement::Same };
            assert_eq!(past.judge(b"m", 7, &beat(NOW + 10_000 - lost)), judgement, "{lost}");
        }
        // Where nobody has seen two beats yet, none is missed.
        assert_eq!(served(1).judge(b"m", 7, &beat(NOW - 9_000)), Judgement::Same);
    }

    #[test]
    fn one_who_beat_before_hides_nothing() {
        let past = served(10);
        let later = NOW + 60_000;
        assert_eq!(past.judge(b"m", 7, &after_pause(later + 3_000, (NOW + 3_000, later))), Judgement::Uncharged);
        // Nobody beat because nobody was there: nothing that was seen is missing.
        for from in [8_000, 9_000, 10_000] {
            assert_eq!(past.judge(b"m", 7, &after_pause(later, (NOW + from, later))), Judgement::Same);
            // Nor is it afterwards, though the newest beat was lost.
            let (again, beats) = (served(10), after_pause(later, (NOW + from, later)));
            again.serves(Judgement::Same, b"m", 7, &beats);
            assert_eq!(again.judge(b"m", 7, &beats), Judgement::Same, "{from}");
        }
        // A place without any, as in a copy from before.
        assert_eq!(past.judge(b"m", 7, &after_pause(later, (0, later))), Judgement::Uncharged);
    }

    #[test]
    fn whoever_finds_out_first_charges_for_all() {
        let past = served(10);
        past.lost();
        let (beats, charged) = (beat(NOW + 12_000), NOW + 11_000);
        assert_eq!(past.judge(b"m", 7, &beats), Judgement::Uncharged);
        assert_eq!(past.judge(b"m", charged, &beats), Judgement::Charged);
        assert_eq!(past.judge(b"other", charged, &beats), Judgement::Charged);
        past.serves(Judgement::Charged, b"other", charged, &beats);
        assert_eq!(past.judge(b"other", charged, &beats), Judgement::Same);
        assert_eq!(past.judge(b"other", charged + 1, &beats), Judgement::Same);
        // A description that is older than it was, and one that was charged before what was seen.
        assert_eq!(past.judge(b"other", charged - 1, &beats), Judgement::Uncharged);
        assert_eq!(served(10).judge(b"m", 3, &beats), Judgement::Uncharged);
        assert_eq!(served(10).judge(b"old", NOW + 1_000, &beats), Judgement::Uncharged);
    }

    #[test]
    fn a_store_that_a_first_start_made_is_strange_to_whoever_knew_another() {
        let past = served(1);
        assert!(past.is_strange(b"other", 0));
        assert!(!past.is_strange(b"other", NOW) && !past.is_strange(b"m", 0));
        assert!(!Past::new().is_strange(b"other", 0));
        assert!(Past::remembered("m".to_owned(), 0).is_strange(b"other", 0));
    }

    #[test]
    fn what_is_remembered_is_missed_after_a_restart() {
        let past = served(40);
        assert_eq!(past.to_note(), Some((b"m".to_vec(), NOW + 38_000)));
        assert_eq!((past.to_note(), past.settled()), (None, NOW + 38_000));
        let again = || Past::remembered("m".to_owned(), past.settled());
        assert_eq!(again().judge(b"m", 7, &beat(NOW + 39_000)), Judgement::Same);
        assert_eq!(again().judge(b"m", 7, &beat(NOW + 30_000)), Judgement::Uncharged);
        assert_eq!(again().judge(b"m", NOW + 39_000, &beat(NOW + 30_000)), Judgement::Charged);
        again().serves(Judgement::Same, b"m", 7, &beat(NOW + 39_000));
        // One that was noted without a beat misses none.
        assert_eq!(Past::remembered("m".to_owned(), 0).judge(b"m", 7, &beat(1)), Judgement::Same);
    }
}
