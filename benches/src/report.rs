//! What all reports share: the machine, medians and spreads.

use crate::machine::Machine;

/// What all suites are measured on.
pub(crate) fn machine(machine: &Machine) -> String {
    let Machine { cores, cpu, kernel, file_system } = machine;
    format!("- Machine: {cores} cores, {cpu}, Linux {kernel}, data on {file_system}.")
}

/// The quotients of runs that follow each other.
pub(crate) fn quotients(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

/// Whether a promise is kept.
pub(crate) fn holds(is_so: bool) -> &'static str {
    if is_so { "holds" } else { "does not hold" }
}

/// The median, with the least and the most.
pub(crate) fn spread(numbers: &[f64], digits: usize) -> String {
    if numbers.is_empty() {
        return "-".to_owned();
    }
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", median(numbers))
}

pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (_, middle) => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_between_runs_that_follow_each_other() {
        // Both grow alike; the quotient of the medians would say the same only by chance.
        let quotients = quotients(&[20.0, 90.0, 400.0], &[10.0, 30.0, 100.0]);
        assert_eq!(spread(&quotients, 2), "3.00 (2.00 to 4.00)");
    }

    #[test]
    fn an_even_number_of_rounds_has_a_median() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[], 0), "-");
    }
}
