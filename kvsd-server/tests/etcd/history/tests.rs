//! The checker finds what it is there for, and nothing in histories that are correct.

use super::counter;
use super::linear;
use super::register::{self, Action, Came, Condition, Seen};
use super::snapshot;
use super::watch::{self, Event, Watched};
use super::{History, Operation};
use crate::random::Random;

fn operation<A>(
    client: usize,
    called: u64,
    answered: impl Into<Option<u64>>,
    action: A,
) -> Operation<A> {
    Operation { client, called, answered: answered.into(), action }
}

fn set(value: u64, came: Came) -> Action {
    Action::Write { value, condition: Condition::Any, came }
}

fn written(value: u64, version: u64) -> Action {
    set(value, Came::Written { version })
}

fn read(seen: impl Into<Option<(u64, u64)>>) -> Action {
    Action::Read { saw: seen.into().map(|(value, version)| Seen { value, version }) }
}

/// A store that is correct, and clients that call it at random: some answers never come.
struct Simulation {
    random: Random,
    time: u64,
    version: u64,
    standing: Option<Seen>,
    events: Vec<Event>,
    operations: Vec<Operation<Action>>,
    /// By client: its operation, and whether it has taken effect.
    calls: Vec<Option<(usize, Effect)>>,
    /// Operations whose answers never come and that may still take effect.
    adrift: Vec<usize>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Effect {
    Pending,
    Done,
}

impl Simulation {
    fn run(seed: u64, clients: usize, steps: usize) -> Self {
        let mut this = Self {
            random: Random::new(seed),
            time: 0,
            version: 0,
            standing: None,
            events: Vec::new(),
            operations: Vec::new(),
            calls: vec![None; clients],
            adrift: Vec::new(),
        };
        for _ in 0..steps {
            this.time += 1;
            let client = usize::try_from(this.random.below(clients as u64)).unwrap();
            this.step(client);
            if !this.adrift.is_empty() && this.random.below(20) == 0 {
                let index = this.adrift.remove(0);
                this.take_effect(index);
            }
        }
        // What was never answered in time has an unknown outcome.
        for (index, _) in this.calls.iter().flatten() {
            let operation = &mut this.operations[*index];
            operation.answered = None;
            forget(&mut operation.action);
        }
        this.operations
            .retain(|it| it.answered.is_some() || !matches!(it.action, Action::Read { .. }));
        this
    }

    fn step(&mut self, client: usize) {
        match self.calls[client] {
            None => {
                let action = self.any_action();
                self.operations.push(operation(client, self.time, self.time, action));
                self.calls[client] = Some((self.operations.len() - 1, Effect::Pending));
            }
            Some((index, Effect::Pending)) if self.random.below(30) == 0 => {
                self.operations[index].answered = None;
                forget(&mut self.operations[index].action);
                if self.random.below(2) == 0 {
                    self.adrift.push(index);
                }
                self.calls[client] = None;
            }
            Some((index, Effect::Pending)) => {
                self.take_effect(index);
                self.calls[client] = Some((index, Effect::Done));
            }
            Some((index, Effect::Done)) => {
                self.operations[index].answered = Some(self.time);
                self.calls[client] = None;
            }
        }
    }

    fn any_action(&mut self) -> Action {
        let value = self.operations.len() as u64;
        let condition = match (self.random.below(3), self.standing) {
            (0, _) => Condition::Absent,
            (1, Some(seen)) => Condition::Version(seen.version),
            _ => Condition::Any,
        };
        match self.random.below(8) {
            0 => Action::Take { took: None },
            1..4 => Action::Write { value, condition, came: Came::Unknown },
            _ => Action::Read { saw: None },
        }
    }

    fn take_effect(&mut self, index: usize) {
        let standing = self.standing;
        let mut action = self.operations[index].action.clone();
        match &mut action {
            Action::Read { saw } => *saw = standing,
            Action::Take { took } => {
                *took = Some(standing.map(|seen| seen.value));
                if self.standing.take().is_some() {
                    self.version += 1;
                    self.events.push(Event::Deleted { key: "k".into(), version: self.version });
                }
            }
            Action::Write { value, condition, came } => {
                let current = standing.map(|seen| seen.version);
                let holds = match *condition {
                    Condition::Any => true,
                    Condition::Absent => current.is_none(),
                    Condition::Version(version) => current == Some(version),
                };
                *came = if holds {
                    self.version += 1;
                    let (value, version) = (*value, self.version);
                    self.standing = Some(Seen { value, version });
                    self.events.push(Event::Set { key: "k".into(), value, version });
                    Came::Written { version }
                } else {
                    Came::Conflict { current }
                };
            }
        }
        if self.operations[index].answered.is_some() {
            self.operations[index].action = action;
        }
    }

    fn history(self) -> History {
        let watched = Watched {
            name: "watch".into(),
            since: 0,
            registers: ["k".to_owned()].into(),
            counters: [].into(),
            events: self.events,
        };
        History {
            registers: [("k".to_owned(), self.operations)].into(),
            counters: [].into(),
            watches: vec![watched],
        }
    }
}

/// Makes an operation one whose answer never came.
fn forget(action: &mut Action) {
    match action {
        Action::Read { saw } => *saw = None,
        Action::Write { came, .. } => *came = Came::Unknown,
        Action::Take { took } => *took = None,
    }
}

#[test]
fn correct_histories_with_unknown_outcomes_pass() {
    for seed in 0..60 {
        let history = Simulation::run(seed, 6, 1500).history();
        assert_eq!(history.check(), Ok(()), "seed {seed}");
        let unwatched = &history.registers["k"];
        assert_eq!(register::check(unwatched, &[]), Ok(()), "seed {seed} without a watch");
    }
}

#[test]
fn a_stale_read_anywhere_in_a_correct_history_is_found() {
    let mut planted = 0;
    for seed in 0..60 {
        let mut operations = Simulation::run(seed, 6, 600).operations;
        if !plant_stale_read(&mut operations, seed) {
            continue;
        }
        planted += 1;
        let violation = register::check(&operations, &[]).unwrap_err();
        let register::Violation::Order(linear::Violation::Impossible { window }) = violation else {
            panic!("seed {seed}: {violation:?}");
        };
        assert!(window.len() < operations.len() / 2, "seed {seed}: {window:#?}");
    }
    assert!(planted > 50, "only {planted} could be planted");
}

/// Shows a read what had been overwritten before it was called.
fn plant_stale_read(operations: &mut [Operation<Action>], seed: u64) -> bool {
    let done: Vec<_> = operations
        .iter()
        .filter_map(|it| match it.action {
            Action::Write { value, came: Came::Written { version }, .. } => {
                Some((it.called, it.answered?, Seen { value, version }))
            }
            _ => None,
        })
        .collect();
    let mut random = Random::new(seed);
    let reads: Vec<_> = (0..operations.len())
        .filter(|&index| matches!(operations[index].action, Action::Read { .. }))
        .filter(|&index| operations[index].called > 300)
        .collect();
    let read = &mut operations[*random.pick(&reads)];
    let newer = done.iter().rev().find(|(_, answered, _)| *answered < read.called);
    let Some((called, _, _)) = newer else { return false };
    let older = done.iter().rev().find(|(_, answered, _)| answered < called);
    let Some((_, _, old)) = older else { return false };
    read.action = Action::Read { saw: Some(*old) };
    true
}

#[test]
fn the_window_of_a_stale_read_holds_what_contradicts_it_and_little_more() {
    let mut operations = Vec::new();
    for step in 0..100 {
        operations.push(operation(0, step * 10, step * 10 + 5, written(step, step + 1)));
        operations.push(operation(1, step * 10 + 6, step * 10 + 8, read((step, step + 1))));
    }
    operations[141].action = read((68, 69));
    let violation = register::check(&operations, &[]).unwrap_err();
    let shown = violation.to_string();
    assert!(shown.starts_with("no order explains these 2 operations:"), "{shown}");
    assert!(shown.contains("value: 70") && shown.contains("value: 68"), "{shown}");
}

#[test]
fn an_acknowledged_write_that_is_lost_is_found() {
    let operations = [
        operation(0, 0, 10, written(1, 1)),
        operation(0, 20, 30, written(2, 2)),
        operation(1, 40, 50, read((1, 1))),
    ];
    assert!(register::check(&operations, &[]).is_err());
    let operations = [operation(0, 0, 10, written(1, 1)), operation(1, 20, 30, read(None))];
    assert!(register::check(&operations, &[]).is_err());
    let operations = [
        operation(0, 0, 10, written(1, 1)),
        operation(1, 20, 30, Action::Take { took: Some(None) }),
    ];
    assert!(register::check(&operations, &[]).is_err());
}

#[test]
fn a_write_of_unknown_outcome_may_come_late_or_never_but_not_early_and_not_twice() {
    let unknown = || operation(0, 20, None, set(2, Came::Unknown));
    let first = || operation(0, 0, 10, written(1, 1));
    let check = |rest: Vec<_>| register::check(&[vec![first(), unknown()], rest].concat(), &[]);
    assert_eq!(check(vec![operation(1, 900, 910, read((1, 1)))]), Ok(()));
    let late = vec![operation(1, 900, 910, read((1, 1))), operation(1, 920, 930, read((2, 2)))];
    assert_eq!(check(late), Ok(()));
    let early = vec![operation(1, 11, 12, read((2, 2)))];
    assert!(check(early).is_err());
    let back = vec![operation(1, 30, 40, read((2, 2))), operation(1, 50, 60, read((1, 1)))];
    assert!(check(back).is_err());
    let twice = vec![operation(1, 30, 40, read((2, 2))), operation(1, 50, 60, read((2, 3)))];
    assert_eq!(check(twice), Err(register::Violation::Twice { value: 2, versions: [2, 3] }));
}

#[test]
fn a_removal_of_unknown_outcome_may_come_late_or_never() {
    let unknown = operation(0, 20, None, Action::Take { took: None });
    let first = operation(0, 0, 10, written(1, 1));
    let there = operation(1, 30, 40, read((1, 1)));
    let gone = operation(1, 50, 60, read(None));
    let check = |operations: &[&Operation<Action>]| {
        register::check(&operations.iter().copied().cloned().collect::<Vec<_>>(), &[])
    };
    assert_eq!(check(&[&first, &unknown, &there, &gone]), Ok(()));
    assert_eq!(check(&[&first, &unknown, &there]), Ok(()));
    assert!(check(&[&first, &there, &gone]).is_err());
}

#[test]
fn a_condition_that_did_not_hold_and_was_written_is_found() {
    let write = |condition, came| Action::Write { value: 2, condition, came };
    let check = |action| {
        register::check(&[operation(0, 0, 10, written(1, 1)), operation(1, 20, 30, action)], &[])
    };
    let done = Came::Written { version: 2 };
    let refused = |current| Came::Conflict { current };
    assert_eq!(check(write(Condition::Version(1), done)), Ok(()));
    assert!(check(write(Condition::Absent, done)).is_err());
    assert_eq!(check(write(Condition::Absent, refused(Some(1)))), Ok(()));
    assert!(check(write(Condition::Absent, refused(None))).is_err(), "refused though it held");
    assert!(
        check(write(Condition::Version(1), refused(Some(1)))).is_err(),
        "refused though it held"
    );
    assert!(check(write(Condition::Version(1), refused(None))).is_err(), "it was there");
}

#[test]
fn versions_that_do_not_grow_or_are_shared_are_found() {
    let falling = [operation(0, 0, 10, written(1, 5)), operation(0, 20, 30, written(2, 4))];
    assert!(register::check(&falling, &[]).is_err());
    let shared = [operation(0, 0, 10, written(1, 5)), operation(0, 20, 30, written(2, 5))];
    let violation = register::check(&shared, &[]).unwrap_err();
    assert_eq!(violation, register::Violation::Shared { version: 5, values: [1, 2] });
    let nowhere = [operation(0, 0, 10, read((7, 1)))];
    let violation = register::check(&nowhere, &[]).unwrap_err();
    assert_eq!(violation, register::Violation::FromNowhere { value: 7 });
}

#[test]
fn an_increment_that_was_doubled_or_lost_is_found() {
    let add = |now: Option<i64>| counter::Action::Increment { now };
    let read = |saw| counter::Action::Read { saw: Some(saw) };
    let check = |actions: &[counter::Action]| {
        let mut time = 0;
        let operations: Vec<_> = actions
            .iter()
            .map(|action| {
                time += 10;
                let is_unknown = *action == add(None);
                operation(0, time, (!is_unknown).then_some(time + 5), action.clone())
            })
            .collect();
        counter::check(&operations)
    };
    assert_eq!(check(&[add(Some(1)), add(Some(2)), read(2)]), Ok(()));
    assert_eq!(check(&[add(Some(1)), add(None), add(Some(2)), read(3)]), Ok(()));
    assert_eq!(check(&[add(Some(1)), add(None), add(Some(3)), read(3)]), Ok(()));
    assert_eq!(
        check(&[add(Some(1)), add(None), read(3)]),
        Err(counter::Violation::Sum { number: 3, acknowledged: 1, unknown: 1 }),
    );
    assert_eq!(
        check(&[add(Some(1)), add(Some(2)), read(1)]),
        Err(counter::Violation::Sum { number: 1, acknowledged: 2, unknown: 0 }),
    );
    assert_eq!(check(&[add(Some(1)), add(Some(1))]), Err(counter::Violation::Told { twice: 1 }));
    // The sum is right, but an answer skipped a number that nobody may have added by then.
    assert!(check(&[add(Some(2)), add(None), read(2)]).is_err());
}

#[test]
fn hundreds_of_increments_of_unknown_outcome_are_no_burden() {
    let mut operations = Vec::new();
    let mut number = 0;
    for step in 0..2000 {
        let unknown = step % 5 == 0;
        let took_effect = !unknown || step % 10 == 0;
        number += i64::from(took_effect);
        let action = counter::Action::Increment { now: (!unknown).then_some(number) };
        let answered = (!unknown).then_some(step * 10 + 15);
        operations.push(operation(0, step * 10, answered, action));
    }
    let read = counter::Action::Read { saw: Some(number) };
    operations.push(operation(0, 90_000, 90_001, read));
    assert_eq!(counter::check(&operations), Ok(()));
}

#[test]
fn a_torn_batch_is_found() {
    let (old, new) = (Seen { value: 1, version: 1 }, Seen { value: 2, version: 2 });
    assert_eq!(snapshot::of(2, &[]), Ok(None));
    assert_eq!(snapshot::of(2, &[new, new]), Ok(Some(new)));
    assert_eq!(
        snapshot::of(2, &[old, new]),
        Err(snapshot::Violation::Torn { one: old, other: new })
    );
    assert_eq!(snapshot::of(2, &[new]), Err(snapshot::Violation::Partly { found: 1, of: 2 }));
    let other = Seen { version: 3, ..new };
    assert_eq!(snapshot::of(2, &[new, other]), Err(snapshot::Violation::Torn { one: new, other }));
}

/// A history in which 1, 2 and 3 were set, 2 was taken, and a watch told what it says.
fn watched(events: Vec<Event>) -> History {
    let take = Action::Take { took: Some(Some(2)) };
    let operations = vec![
        operation(0, 0, 10, written(1, 1)),
        operation(0, 20, 30, written(2, 2)),
        operation(0, 40, 50, take),
        operation(0, 60, 70, written(3, 4)),
    ];
    let watched = Watched {
        name: "watch".into(),
        since: 0,
        registers: ["k".to_owned()].into(),
        counters: ["n".to_owned()].into(),
        events,
    };
    History {
        registers: [("k".to_owned(), operations)].into(),
        counters: [].into(),
        watches: vec![watched],
    }
}

fn told(key: &str, value: u64, version: u64) -> Event {
    Event::Set { key: key.into(), value, version }
}

#[test]
fn a_watch_that_reorders_repeats_or_misses_a_change_is_found() {
    let check = |events| {
        let history = watched(events);
        watch::check(&history.watches[0], &history)
    };
    let [one, two, three] = [told("k", 1, 1), told("k", 2, 2), told("k", 3, 4)];
    let gone = Event::Deleted { key: "k".into(), version: 3 };
    let all = [one.clone(), two.clone(), gone.clone(), three.clone()];
    assert_eq!(check(all.to_vec()), Ok(()));
    // What it was not asked for any more it need not tell, and a gap excuses what it covers.
    assert_eq!(check(all[..2].to_vec()), Ok(()));
    assert_eq!(check(vec![one.clone(), Event::Gap, three.clone()]), Ok(()));

    let swapped = vec![two.clone(), one.clone(), gone.clone(), three.clone()];
    assert_eq!(check(swapped), Err(watch::Violation::Order { before: 2, then: 1 }));
    let behind_a_gap = vec![two.clone(), Event::Gap, one.clone()];
    assert!(check(behind_a_gap).is_err());
    let repeated = vec![one.clone(), one.clone(), two.clone(), gone.clone(), three.clone()];
    assert_eq!(check(repeated), Err(watch::Violation::Twice { key: "k".into(), version: 1 }));
    let missing = watch::Violation::Missing { key: "k".into(), version: 2 };
    assert_eq!(check(vec![one.clone(), gone.clone(), three.clone()]), Err(missing));
    let first = watch::Violation::Missing { key: "k".into(), version: 1 };
    assert_eq!(check(vec![two.clone(), gone.clone(), three.clone()]), Err(first));
    let removal = watch::Violation::MissingRemoval { key: "k".into(), value: 2 };
    assert_eq!(check(vec![one, two, three]), Err(removal));
}

#[test]
fn a_watch_that_skips_a_number_of_a_counter_is_found() {
    let history = watched(vec![told("n", 1, 10), told("n", 2, 11), told("n", 4, 13)]);
    let leap = watch::Violation::Leap { key: "n".into(), from: 2, to: 4 };
    let mut alone = History { watches: history.watches, ..History::default() };
    assert_eq!(watch::check(&alone.watches[0], &alone), Err(leap));
    alone.watches[0].events.truncate(2);
    assert_eq!(watch::check(&alone.watches[0], &alone), Ok(()));
}
