//! The shape of a trace: who is below whom, what is on the critical path.

use std::collections::HashMap;

use crate::model::{ExportSpan, Parent, SpanId};

pub(super) struct Tree {
    /// In the order of drawing.
    pub(super) rows: Vec<Row>,
    /// For each span, nanoseconds of its duration in which no child was running.
    pub(super) own: Vec<u64>,
    /// The span on the critical path with the largest time of its own.
    pub(super) slowest: Option<usize>,
}

pub(super) struct Row {
    /// Index of the span.
    pub(super) span: usize,
    pub(super) depth: usize,
    /// Branches of the tree, drawn.
    pub(super) indent: String,
    pub(super) critical: bool,
    /// It has a parent, which is not here.
    pub(super) orphan: bool,
}

impl Tree {
    pub(super) fn new(spans: &[ExportSpan]) -> Self {
        let index: HashMap<SpanId, usize> = spans
            .iter()
            .enumerate()
            .map(|(at, span)| (span.span.span_id, at))
            .collect();
        let parent = |at: usize| match spans[at].span.parent {
            Parent::Span { id, .. } => index.get(&id).copied(),
            Parent::None(_) => None,
        };
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|at| (spans[*at].start_unix_nanos, spans[*at].span.span_id.0));
        for &at in &order {
            if let Some(parent) = parent(at) {
                children[parent].push(at);
            }
        }
        let mut tree = Self {
            rows: Vec::with_capacity(spans.len()),
            own: (0..spans.len())
                .map(|at| own(spans, at, &children[at]))
                .collect(),
            slowest: None,
        };
        let mut seen = vec![false; spans.len()];
        let roots = order.iter().copied().filter(|at| parent(*at).is_none());
        // Ids from the network can name each other as parents; such a ring is entered at its
        // earliest span.
        for root in roots.chain(order.iter().copied()) {
            tree.draw(spans, &children, root, &mut seen);
        }
        // The trace ends when its last root ends.
        let roots = tree
            .rows
            .iter()
            .filter(|row| row.depth == 0)
            .map(|row| row.span);
        if let Some(last) = roots.max_by_key(|at| spans[*at].end_unix_nanos) {
            let critical = critical(spans, &children, last);
            for row in &mut tree.rows {
                row.critical = critical[row.span];
            }
            tree.slowest = (0..spans.len())
                .filter(|at| critical[*at])
                .max_by_key(|at| tree.own[*at]);
        }
        tree
    }

    /// Adds a span and all below it, without recursion: the depth comes from the network.
    fn draw(
        &mut self,
        spans: &[ExportSpan],
        children: &[Vec<usize>],
        root: usize,
        seen: &mut [bool],
    ) {
        // Span, depth, the branches drawn before it, whether it is the last child.
        let mut stack = vec![(root, 0, String::new(), true)];
        while let Some((span, depth, branches, last)) = stack.pop() {
            if std::mem::replace(&mut seen[span], true) {
                continue;
            }
            let (here, below) = match (depth, last) {
                (0, _) => ("", ""),
                (_, true) => ("└ ", "  "),
                (_, false) => ("├ ", "│ "),
            };
            let has_parent = matches!(spans[span].span.parent, Parent::Span { .. });
            self.rows.push(Row {
                span,
                depth,
                indent: format!("{branches}{here}"),
                critical: false,
                orphan: depth == 0 && has_parent,
            });
            // What is deeper than any line is wide is not drawn, only counted.
            let branches = if depth < 64 {
                format!("{branches}{below}")
            } else {
                branches
            };
            for (nth, child) in children[span].iter().enumerate().rev() {
                let last = nth + 1 == children[span].len();
                stack.push((*child, depth + 1, branches.clone(), last));
            }
        }
    }
}

fn own(spans: &[ExportSpan], at: usize, children: &[usize]) -> u64 {
    let (start, end) = (spans[at].start_unix_nanos, spans[at].end_unix_nanos);
    let mut covered = 0;
    let mut reached = start;
    // Children come in the order of their starts.
    for child in children {
        let from = spans[*child]
            .start_unix_nanos
            .clamp(reached, end.max(reached));
        let to = spans[*child].end_unix_nanos.min(end);
        covered += to.saturating_sub(from);
        reached = reached.max(to);
    }
    end.saturating_sub(start).saturating_sub(covered)
}

/// Backwards from the end of each span on the path: the child that ended last, then the one that
/// ended last before that child began, and so on.
fn critical(spans: &[ExportSpan], children: &[Vec<usize>], root: usize) -> Vec<bool> {
    let mut critical = vec![false; spans.len()];
    let mut stack = vec![root];
    while let Some(at) = stack.pop() {
        if std::mem::replace(&mut critical[at], true) {
            continue;
        }
        let mut by_end = children[at].clone();
        by_end.sort_by_key(|child| std::cmp::Reverse(spans[*child].end_unix_nanos));
        let mut until = u64::MAX;
        for child in by_end {
            if spans[child].end_unix_nanos <= until {
                until = spans[child].start_unix_nanos;
                stack.push(child);
            }
        }
    }
    critical
}
