//! Pairs request ids with the callers that wait for their answers. No I/O, no clock, no lock.
//! Wakers leave it and are never dropped here: whoever holds the lock on it drops them behind it.
//!
//! A slot's index is the request's id on the wire. It is free again only when the answer has come,
//! whether or not somebody still wants it: that is what keeps an answer out of the wrong hands.

use std::task::Waker;

use tokio::time::Instant;

use super::answer::Answer;
use super::verb::Verb;

/// What became of a request, told to its caller.
#[derive(Debug)]
pub(super) enum Fate {
    /// The server answered.
    Answered(Answer),
    /// The caller's deadline passed; the answer may still come and is thrown away.
    TimedOut,
    /// The connection ended first. `sent` says whether any of the request may have left.
    Lost { sent: bool },
}

/// The batch of a request whose last byte is not in any batch yet.
const NO_BATCH: u64 = u64::MAX;
/// After a burst that took more slots than this, their memory is given back.
const KEPT_SLOTS: usize = 1024;

/// The requests of one connection that have no answer yet, or whose caller has not fetched it.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Requests whose answer has not come.
    in_flight: usize,
    /// Those of them that a caller waits for.
    waiting: usize,
}

#[derive(Debug)]
enum Slot {
    Free,
    /// Nobody has answered, somebody waits.
    Waiting {
        verb: Verb,
        batch: u64,
        deadline: Instant,
        waker: Option<Waker>,
    },
    /// The deadline passed, the caller does not know it yet.
    Expired {
        verb: Verb,
    },
    /// Nobody waits any more; the answer is still to come.
    Abandoned {
        verb: Verb,
    },
    /// The caller can fetch its request's fate.
    Ready(Fate),
}

/// What a caller is told who asks.
#[derive(Debug)]
pub(super) enum Asked {
    Told(Fate),
    /// Nothing yet; the waker that was kept before.
    Waits(Option<Waker>),
}

/// The server answered what nobody asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unasked;

impl Slots {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a slot for a request that is in no batch of the writer yet.
    pub(super) fn insert(&mut self, verb: Verb, deadline: Instant, waker: Option<Waker>) -> usize {
        let slot = Slot::Waiting { verb, batch: NO_BATCH, deadline, waker };
        self.in_flight += 1;
        self.waiting += 1;
        if let Some(id) = self.free.pop() {
            self.slots[id] = slot;
            return id;
        }
        self.slots.push(slot);
        self.slots.len() - 1
    }

    /// The request goes into batch number `batch` of the writer, whatever was said before.
    pub(super) fn set_batch(&mut self, id: u64, batch: u64) {
        let slot = usize::try_from(id).ok().and_then(|id| self.slots.get_mut(id));
        if let Some(Slot::Waiting { batch: known, .. }) = slot {
            *known = batch;
        }
    }

    /// The caller asks: its request's fate, or its waker is kept.
    pub(super) fn poll(&mut self, id: usize, waker: &Waker) -> Asked {
        match &mut self.slots[id] {
            Slot::Waiting { waker: kept, .. } => {
                let is_kept = kept.as_ref().is_some_and(|kept| kept.will_wake(waker));
                Asked::Waits(if is_kept { None } else { kept.replace(waker.clone()) })
            }
            Slot::Expired { verb } => {
                self.slots[id] = Slot::Abandoned { verb: *verb };
                Asked::Told(Fate::TimedOut)
            }
            Slot::Ready(_) => match std::mem::replace(&mut self.slots[id], Slot::Free) {
                Slot::Ready(fate) => {
                    self.release(id);
                    Asked::Told(fate)
                }
                _ => unreachable!("the slot was seen to be ready"),
            },
            Slot::Free | Slot::Abandoned { .. } => unreachable!("a caller asks for its own slot"),
        }
    }

    /// The caller goes away before it has fetched its request's fate: what the server may still be
    /// busy with, and the waker that was kept.
    pub(super) fn abandon(&mut self, id: usize) -> (Option<Verb>, Option<Waker>) {
        match &mut self.slots[id] {
            Slot::Waiting { verb, waker, .. } => {
                let (verb, waker) = (*verb, waker.take());
                self.waiting -= 1;
                self.slots[id] = Slot::Abandoned { verb };
                (Some(verb), waker)
            }
            Slot::Expired { verb } => {
                let verb = *verb;
                self.slots[id] = Slot::Abandoned { verb };
                (Some(verb), None)
            }
            Slot::Ready(_) => {
                self.release(id);
                (None, None)
            }
            Slot::Free | Slot::Abandoned { .. } => unreachable!("a caller leaves its own slot"),
        }
    }

    /// The watches that somebody waits for.
    pub(super) fn watches(&self) -> Vec<usize> {
        let is_watch = |slot: &Slot| matches!(slot, Slot::Waiting { verb: Verb::Watch, .. });
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| is_watch(slot)).map(|(id, _)| id).collect()
    }

    /// The answer to request `id` has come: the waker of the caller that waits for it.
    ///
    /// # Errors
    ///
    /// [`Unasked`] if no such request is in flight, or if it asked for something else.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) -> Result<Option<Waker>, Unasked> {
        let id = usize::try_from(id).map_err(|_| Unasked)?;
        let slot = self.slots.get_mut(id).ok_or(Unasked)?;
        let verb = match slot {
            Slot::Waiting { verb, .. } | Slot::Expired { verb } | Slot::Abandoned { verb } => *verb,
            Slot::Free | Slot::Ready(_) => return Err(Unasked),
        };
        if !answer.fits(verb) {
            return Err(Unasked);
        }
        self.in_flight -= 1;
        let ready = Slot::Ready(Fate::Answered(answer));
        match slot {
            Slot::Waiting { waker, .. } => {
                let waker = waker.take();
                self.waiting -= 1;
                *slot = ready;
                Ok(waker)
            }
            Slot::Abandoned { .. } => {
                self.release(id);
                Ok(None)
            }
            Slot::Expired { .. } | Slot::Free | Slot::Ready(_) => {
                *slot = ready;
                Ok(None)
            }
        }
    }

    /// Nobody needs the slot any more, and no answer to it is to come.
    fn release(&mut self, id: usize) {
        self.slots[id] = Slot::Free;
        self.free.push(id);
        if self.free.len() == self.slots.len() && self.slots.len() > KEPT_SLOTS {
            *self = Self::default();
        }
    }

    /// Tells every caller whose deadline has passed; answers with the earliest deadline left.
    pub(super) fn expire(&mut self, now: Instant, wakers: &mut Vec<Waker>) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for slot in &mut self.slots {
            let Slot::Waiting { verb, deadline, waker, .. } = slot else {
                continue;
            };
            if *deadline <= now {
                wakers.extend(waker.take());
                self.waiting -= 1;
                *slot = Slot::Expired { verb: *verb };
            } else {
                earliest = Some(earliest.map_or(*deadline, |known| known.min(*deadline)));
            }
        }
        earliest
    }

    /// The connection has ended: tells every caller. Batches from `unsent` on never left.
    pub(super) fn lose(&mut self, unsent: u64, wakers: &mut Vec<Waker>) {
        for (id, slot) in self.slots.iter_mut().enumerate() {
            match slot {
                Slot::Waiting { batch, waker, .. } => {
                    wakers.extend(waker.take());
                    *slot = Slot::Ready(Fate::Lost { sent: *batch < unsent });
                }
                Slot::Expired { .. } => *slot = Slot::Ready(Fate::TimedOut),
                Slot::Abandoned { .. } => {
                    *slot = Slot::Free;
                    self.free.push(id);
                }
                Slot::Free | Slot::Ready(_) => {}
            }
        }
        (self.in_flight, self.waiting) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now() -> Instant {
        Instant::now()
    }

    fn exists(answer: Asked) -> bool {
        match answer {
            Asked::Told(Fate::Answered(Answer::Flag(exists))) => exists,
            other => panic!("no answer: {other:?}"),
        }
    }

    #[test]
    fn an_abandoned_request_keeps_its_id_until_its_answer_has_come() {
        let mut slots = Slots::default();
        let left = slots.insert(Verb::Exists, now(), None);
        slots.abandon(left);
        let other = slots.insert(Verb::Exists, now(), None);
        assert_ne!(left, other);
        assert_eq!((slots.in_flight(), slots.waiting()), (2, 1));
        assert!(slots.answer(left as u64, Answer::Flag(true)).unwrap().is_none());
        assert!(matches!(slots.poll(other, Waker::noop()), Asked::Waits(None)));
        slots.answer(other as u64, Answer::Flag(false)).unwrap();
        assert!(!exists(slots.poll(other, Waker::noop())));
        assert_eq!((slots.in_flight(), slots.waiting()), (0, 0));
        assert_eq!(slots.insert(Verb::Exists, now(), None), other);
        assert_eq!(slots.insert(Verb::Exists, now(), None), left);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back_when_all_of_it_is_answered() {
        let mut slots = Slots::default();
        let ids: Vec<_> = (0..20_000).map(|_| slots.insert(Verb::Exists, now(), None)).collect();
        for &id in &ids {
            if id % 2 == 0 {
                slots.abandon(id);
            }
            slots.answer(id as u64, Answer::Flag(true)).unwrap();
            if id % 2 == 1 {
                assert!(exists(slots.poll(id, Waker::noop())));
            }
        }
        assert_eq!((slots.in_flight(), slots.waiting()), (0, 0));
        assert!(slots.slots.capacity() <= KEPT_SLOTS && slots.free.capacity() <= KEPT_SLOTS);
        assert_eq!(slots.insert(Verb::Exists, now(), None), 0);
    }

    #[test]
    fn an_answer_nobody_asked_for_is_refused() {
        let mut slots = Slots::default();
        assert_eq!(slots.answer(0, Answer::Flag(true)).unwrap_err(), Unasked);
        let id = slots.insert(Verb::Exists, now(), None);
        assert_eq!(slots.answer(7, Answer::Flag(true)).unwrap_err(), Unasked);
        assert_eq!(slots.answer(u64::MAX, Answer::Flag(true)).unwrap_err(), Unasked);
        assert_eq!(slots.answer(id as u64, Answer::Value(None)).unwrap_err(), Unasked);
        slots.answer(id as u64, Answer::Flag(true)).unwrap();
        assert_eq!(slots.answer(id as u64, Answer::Flag(true)).unwrap_err(), Unasked);
    }

    #[test]
    fn a_passed_deadline_tells_the_caller_and_a_late_answer_goes_nowhere() {
        let mut slots = Slots::default();
        let start = now();
        let soon = slots.insert(Verb::Exists, start, None);
        let later = start + Duration::from_secs(5);
        let patient = slots.insert(Verb::Exists, later, None);
        assert_eq!(slots.expire(start, &mut Vec::new()), Some(later));
        assert!(matches!(slots.poll(soon, Waker::noop()), Asked::Told(Fate::TimedOut)));
        assert!(matches!(slots.poll(patient, Waker::noop()), Asked::Waits(None)));
        slots.answer(soon as u64, Answer::Flag(true)).unwrap();
        assert_eq!(slots.insert(Verb::Exists, start, None), soon);
    }

    #[test]
    fn a_lost_connection_tells_sent_requests_from_unsent_ones() {
        let mut slots = Slots::default();
        let sent = slots.insert(Verb::Exists, now(), None);
        let unsent = slots.insert(Verb::Exists, now(), None);
        slots.set_batch(sent as u64, 3);
        slots.set_batch(unsent as u64, 4);
        slots.lose(4, &mut Vec::new());
        assert!(matches!(slots.poll(sent, Waker::noop()), Asked::Told(Fate::Lost { sent: true })));
        assert!(matches!(
            slots.poll(unsent, Waker::noop()),
            Asked::Told(Fate::Lost { sent: false })
        ));
    }
}
