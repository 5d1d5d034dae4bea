//! What serves the requests: replicas that queue, leak, restart, and are added by hand.

use super::draw::Draw;
use super::{STEP_MS, STEPS_A_DAY};

const STEP_SECONDS: f64 = STEP_MS as f64 / 1000.0;
const MIB: f64 = 1024.0 * 1024.0;
/// Share of a replica that operators plan with when they add some on a Monday.
const PLANNED_USE: f64 = 0.62;
/// CPU that an idle replica uses.
const IDLE: f64 = 0.02;
/// Share of waiting requests whose users give up each step.
const IMPATIENCE: f64 = 0.5;

/// One workload's machines; drawn once.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Requests a second at full use of a replica.
    pub(super) unit_capacity: f64,
    memory_bytes: f64,
    leak_bytes: f64,
    reply_bytes: f64,
    /// Whether the region has no more replicas to give from a third of the time on.
    runs_short: bool,
}

/// What monitoring sees of a run.
pub(super) struct Run {
    pub(super) cpu_percent: Vec<f64>,
    pub(super) memory_bytes: Vec<f64>,
    pub(super) sent_bytes_total: Vec<f64>,
    /// Replicas at the end.
    pub(super) replicas: i64,
}

impl Machine {
    pub(super) fn draw(draw: &mut Draw, runs_short: bool) -> Self {
        Self {
            unit_capacity: (draw.log_normal(30.0, 0.4)).round().max(5.0),
            memory_bytes: draw.log_normal(600.0, 0.5) * MIB,
            leak_bytes: draw.pareto(2.0, 1.5).min(60.0),
            reply_bytes: draw.log_normal(9_000.0, 0.7),
            runs_short,
        }
    }

    pub(super) fn run(&self, draw: &mut Draw, requests: &[f64]) -> Run {
        let steps = requests.len();
        let mut run = Run {
            cpu_percent: Vec::with_capacity(steps),
            memory_bytes: Vec::with_capacity(steps),
            sent_bytes_total: Vec::with_capacity(steps),
            replicas: self.replicas_for(&requests[..steps.min(STEPS_A_DAY)]),
        };
        let mut sent = draw.pareto(1e9, 0.8).min(1e14).round();
        let (mut waiting, mut leaked, mut cost) = (0.0, 0.0, 0.0);
        for (step, rate) in requests.iter().enumerate() {
            let week = 7 * STEPS_A_DAY;
            let may_grow = !self.runs_short || step <= steps / 3;
            if step > 0 && step % week == 0 && may_grow {
                run.replicas = run.replicas.max(self.replicas_for(&requests[step - week..step]));
            }
            if draw.chance(1.0 / (9.0 * STEPS_A_DAY as f64)) {
                (leaked, sent) = (0.0, 0.0); // a restart: memory is clean, the counter begins anew
            }
            cost = draw.wander(cost, 0.9, 0.03); // what a request takes, in logarithms
            let room = self.unit_capacity * run.replicas as f64 * STEP_SECONDS * f64::exp(-cost);
            let asked = rate * STEP_SECONDS + waiting;
            let served = asked.min(room);
            waiting = (asked - served) * (1.0 - IMPATIENCE);
            leaked += served * self.leak_bytes;
            sent += (served * self.reply_bytes * draw.log_normal(1.0, 0.1)).round();
            let held = waiting * 40_000.0 + draw.pareto(4.0, 2.5) * MIB;
            let pages = (run.replicas as f64 * self.memory_bytes + leaked + held) / 4096.0;
            run.cpu_percent.push((100.0 * (IDLE + (1.0 - IDLE) * served / room)).min(100.0));
            run.memory_bytes.push(pages.round() * 4096.0);
            run.sent_bytes_total.push(sent);
        }
        run
    }

    /// Replicas for the busiest hours seen, all but a hundredth of the steps.
    fn replicas_for(&self, seen: &[f64]) -> i64 {
        let mut sorted = seen.to_vec();
        sorted.sort_by(f64::total_cmp);
        let busy = sorted[(sorted.len() - 1) * 99 / 100];
        (busy / (self.unit_capacity * PLANNED_USE)).ceil().max(2.0) as i64
    }
}
