use foreshadow_kernels::{EtsForm, Smoothing};
use foreshadow_models::classical::{AutoEts, Ets};
use foreshadow_models::{Fitted, Panel};

fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}

fn letters(f: EtsForm) -> String {
    let n = foreshadow_models::Model::name(&Ets::of(f));
    n.trim_start_matches("ets_").to_string()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let copies: usize = args[1].parse().unwrap();
    let mode = args[2].as_str();
    let text = std::fs::read_to_string("/tmp/ets_series.txt").unwrap();
    let mut panel = Panel::new(3_600_000);
    let mut state = 12345u64;
    let mut uni = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut names = vec![];
    for line in text.lines() {
        let mut it = line.split(' ');
        let name = it.next().unwrap().to_string();
        let v: Vec<f64> = it.map(|x| x.parse().unwrap()).collect();
        names.push(name.clone());
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        for c in 0..copies {
            let w: Vec<f64> = if c == 0 {
                v.clone()
            } else {
                let sc = 0.2 + uni() * 4.8;
                let lv = (uni() - 0.5) * mean;
                v.iter()
                    .map(|x| {
                        let g: f64 = (0..12).map(|_| uni()).sum::<f64>() - 6.0;
                        sc * (x + lv + 0.01 * mean * g)
                    })
                    .collect()
            };
            panel.push(format!("{name}#{c}"), 0, &w);
        }
    }
    if args.len() > 4 {
        let mut o = String::new();
        for s in 0..panel.series_count() {
            o += panel.name(s);
            for v in panel.values(s) {
                o += &format!(" {v}");
            }
            o += "\n";
        }
        std::fs::write(&args[4], o).unwrap();
    }
    let window = panel.window();
    match mode {
        "auto" => {
            let before = cpu();
            let fit = AutoEts { season: 24 }.learn(&window);
            let used = cpu() - before;
            let n = window.series_count();
            println!("{n} series {used} cpu-s {:.0} series/s on two cores", n as f64 / (used / 2.0));
            let bad = fit.status().iter().filter(|s| !s.is_usable()).count();
            println!("unusable {bad}");
            let mut out = String::new();
            for s in 0..n {
                if let Some((form, p)) = fit.parameters(s) {
                    let Smoothing { alpha, beta, gamma, phi } = p.smoothing;
                    out += &format!(
                        "{} {} {alpha} {beta} {gamma} {phi} {} {} {}\n",
                        panel.name(s),
                        letters(form),
                        p.level,
                        p.slope,
                        p.season.iter().map(|x| x.to_string()).collect::<Vec<_>>().join(" ")
                    );
                }
            }
            std::fs::write(&args[3], out).unwrap();
        }
        _ => {
            // every form: export parameters
            let mut out = String::new();
            for form in EtsForm::admissible(24) {
                if mode != "all" && letters(form) != mode {
                    continue;
                }
                let before = cpu();
                let fit = Ets::of(form).learn(&window);
                println!(
                    "{} {:.1} us cpu/series, unusable {}",
                    letters(form),
                    (cpu() - before) * 1e6 / window.series_count() as f64,
                    fit.status().iter().filter(|s| !s.is_usable()).count()
                );
                for s in 0..window.series_count() {
                    if let Some(p) = fit.parameters(s) {
                        let Smoothing { alpha, beta, gamma, phi } = p.smoothing;
                        out += &format!(
                            "{} {} {alpha} {beta} {gamma} {phi} {} {} {}\n",
                            panel.name(s),
                            letters(form),
                            p.level,
                            p.slope,
                            p.season.iter().map(|x| x.to_string()).collect::<Vec<_>>().join(" ")
                        );
                    }
                }
            }
            std::fs::write(&args[3], out).unwrap();
        }
    }
}
