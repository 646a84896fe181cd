//! Whether operations are linearizable, by a walk over the history in the order of time that keeps
//! every explanation still possible (Wing and Gong's question, answered as Lowe's "just in time"
//! linearization does: an operation takes effect no earlier than an answer needs it to).
//! Knows a model only by its steps. Next file: [`super::register`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use super::Operation;

/// What operations do to one key, one at a time.
pub(crate) trait Model {
    type Action: fmt::Debug + PartialEq;
    type State: Clone + fmt::Debug + Eq + Hash;

    /// The state behind this action; `None` if the action cannot be answered so in this state.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;

    /// Whether no step leads from this state to one in which the action can be answered so.
    fn is_past(&self, state: &Self::State, action: &Self::Action) -> bool;

    /// Every state that could make a difference to this action, for a history whose beginning is
    /// not known.
    fn states(&self, action: &Self::Action) -> Vec<Self::State>;
}

/// Why a history is not known to be linearizable.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Violation {
    /// No order explains the answers: the fewest last operations that show it, one a line.
    Impossible { window: Vec<String> },
    /// More explanations than the bound are possible at once.
    TooHard { explanations: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible { window } => {
                write!(f, "no order explains these {} operations:", window.len())?;
                window.iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::TooHard { explanations } => {
                write!(f, "undecided: {explanations} explanations are possible at once")
            }
        }
    }
}

/// Checks operations on one key that begins in state `start`.
pub(crate) fn check<M: Model>(
    model: &M,
    operations: &[Operation<M::Action>],
    start: M::State,
) -> Result<(), Violation> {
    let operations: Vec<_> = operations.iter().collect();
    match walk(model, &operations, [start]) {
        Ok(()) => Ok(()),
        Err(Stop::TooHard { explanations }) => Err(Violation::TooHard { explanations }),
        Err(Stop::At(answer)) => {
            let window = smallest(model, &operations, answer);
            Err(Violation::Impossible { window: window.iter().map(|it| line(it)).collect() })
        }
    }
}

#[derive(Debug)]
enum Stop {
    /// The time of the answer that nothing explains.
    At(u64),
    TooHard {
        explanations: usize,
    },
}

/// One way in which the answers so far came about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Explanation<S> {
    state: S,
    /// The operations without an answer yet that took effect, sorted.
    early: Vec<usize>,
    /// Those that will never have one, sorted.
    unknown: Vec<usize>,
}

fn walk<M: Model>(
    model: &M,
    operations: &[&Operation<M::Action>],
    starts: impl IntoIterator<Item = M::State>,
) -> Result<(), Stop> {
    let mut times = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        times.push((operation.called, Time::Call, index));
        times.extend(operation.answered.map(|answered| (answered, Time::Answer, index)));
    }
    // At the same time calls come first: what may have been concurrent is taken to have been.
    times.sort_unstable();

    let mut open = Vec::new();
    let mut possible: Vec<_> = starts
        .into_iter()
        .map(|state| Explanation { state, early: Vec::new(), unknown: Vec::new() })
        .collect();
    for (time, what, index) in times {
        match what {
            Time::Call => open.push(index),
            Time::Answer => {
                possible = explain(model, operations, &open, possible, index)?;
                if possible.is_empty() {
                    return Err(Stop::At(time));
                }
                open.retain(|&other| other != index);
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Time {
    Call,
    Answer,
}

/// The explanations of which `answered` is a part.
fn explain<M: Model>(
    model: &M,
    operations: &[&Operation<M::Action>],
    open: &[usize],
    possible: Vec<Explanation<M::State>>,
    answered: usize,
) -> Result<Vec<Explanation<M::State>>, Stop> {
    let mut kept = Kept::default();
    let mut seen = HashSet::new();
    let mut waiting = possible;
    while let Some(mut explanation) = waiting.pop() {
        observe(model, operations, open, &mut explanation);
        if let Ok(place) = explanation.early.binary_search(&answered) {
            explanation.early.remove(place);
            kept.add(explanation);
            continue;
        }
        if model.is_past(&explanation.state, &operations[answered].action) {
            continue;
        }
        for next in candidates(operations, open, &explanation) {
            if let Some(further) = extend(model, operations, &explanation, next)
                && seen.insert(further.clone())
            {
                waiting.push(further);
            }
        }
        if seen.len() > MAX_EXPLANATIONS {
            return Err(Stop::TooHard { explanations: seen.len() });
        }
    }
    Ok(kept.into_all())
}

/// Lets every open operation take effect that fits and changes nothing: later is no better.
fn observe<M: Model>(
    model: &M,
    operations: &[&Operation<M::Action>],
    open: &[usize],
    explanation: &mut Explanation<M::State>,
) {
    for &index in open.iter().filter(|&&index| operations[index].answered.is_some()) {
        if let Err(place) = explanation.early.binary_search(&index)
            && model.step(&explanation.state, &operations[index].action).as_ref()
                == Some(&explanation.state)
        {
            explanation.early.insert(place, index);
        }
    }
}

/// The open operations that may take effect next. Equal ones that will never be answered stand for
/// each other: the first of them is enough.
fn candidates<A: PartialEq, S>(
    operations: &[&Operation<A>],
    open: &[usize],
    explanation: &Explanation<S>,
) -> Vec<usize> {
    let mut offered: Vec<&A> = Vec::new();
    let mut candidates = Vec::new();
    for &index in open {
        let Operation { answered, action, .. } = operations[index];
        let is_candidate = match answered {
            Some(_) => explanation.early.binary_search(&index).is_err(),
            None => {
                !offered.contains(&action) && explanation.unknown.binary_search(&index).is_err()
            }
        };
        if is_candidate {
            candidates.push(index);
        }
        if is_candidate && answered.is_none() {
            offered.push(action);
        }
    }
    candidates
}

/// The explanation in which `next` takes effect now; `None` if it cannot, or changes nothing.
fn extend<M: Model>(
    model: &M,
    operations: &[&Operation<M::Action>],
    explanation: &Explanation<M::State>,
    next: usize,
) -> Option<Explanation<M::State>> {
    let state = model.step(&explanation.state, &operations[next].action)?;
    if state == explanation.state {
        return None;
    }
    let mut further = explanation.clone();
    further.state = state;
    let done = match operations[next].answered {
        Some(_) => &mut further.early,
        None => &mut further.unknown,
    };
    if let Err(place) = done.binary_search(&next) {
        done.insert(place, next);
    }
    Some(further)
}

/// Explanations, without those that have spent more unknown operations for the same.
struct Kept<S>(HashMap<(S, Vec<usize>), Vec<Vec<usize>>>);

impl<S> Default for Kept<S> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<S: Clone + Eq + Hash> Kept<S> {
    fn add(&mut self, explanation: Explanation<S>) {
        let Explanation { state, early, unknown } = explanation;
        let spent = self.0.entry((state, early)).or_default();
        if spent.iter().any(|other| is_subset(other, &unknown)) {
            return;
        }
        spent.retain(|other| !is_subset(&unknown, other));
        spent.push(unknown);
    }

    fn into_all(self) -> Vec<Explanation<S>> {
        let all = self.0.into_iter().flat_map(|((state, early), spent)| {
            spent.into_iter().map(move |unknown| Explanation {
                state: state.clone(),
                early: early.clone(),
                unknown,
            })
        });
        all.collect()
    }
}

fn is_subset(part: &[usize], whole: &[usize]) -> bool {
    part.iter().all(|index| whole.binary_search(index).is_ok())
}

/// The fewest operations before the impossible answer that are impossible whatever was before
/// them; all of them, if that is more than [`MAX_WINDOW`].
fn smallest<'a, M: Model>(
    model: &M,
    operations: &[&'a Operation<M::Action>],
    answer: u64,
) -> Vec<&'a Operation<M::Action>> {
    let begun = operations.iter().copied().filter(|it| it.called <= answer);
    let (mut answered, unknown): (Vec<_>, Vec<_>) = begun.partition(|it| it.answered.is_some());
    answered.sort_by_key(|it| it.answered);
    let end = answered.partition_point(|it| it.answered <= Some(answer));
    for size in 1..=end.min(MAX_WINDOW) {
        // With what has no answer yet: it may have taken effect.
        let mut window = answered[end - size..].to_vec();
        window.extend(&unknown);
        let starts: HashSet<_> = window.iter().flat_map(|it| model.states(&it.action)).collect();
        if matches!(walk(model, &window, starts), Err(Stop::At(time)) if time == answer) {
            window.sort_by_key(|it| it.called);
            return window;
        }
    }
    answered
}

fn line<A: fmt::Debug>(operation: &Operation<A>) -> String {
    let ms = |time: u64| format!("{}.{:03} ms", time / 1_000_000, time / 1_000 % 1_000);
    let answered = operation.answered.map_or_else(|| "no answer".into(), ms);
    let Operation { client, called, action, .. } = operation;
    format!("client {client}, {} to {answered}: {action:?}", ms(*called))
}

/// A key that many clients write at once has some thousands at most.
const MAX_EXPLANATIONS: usize = 200_000;

/// More operations than this tell a reader nothing.
const MAX_WINDOW: usize = 300;
