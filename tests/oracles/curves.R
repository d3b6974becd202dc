# Makes curves.json: what R's survival and etm say about small data with many ties.
#   Rscript curves.R > curves.json
# Packages: survival, etm (Debian: r-cran-survival, r-cran-etm). Versions are written into the file.
suppressMessages({library(survival); library(etm)})

number <- function(x) paste0("[", paste(ifelse(is.finite(x), formatC(x, digits = 17, format = "g"), "null"), collapse = ","), "]")
text <- function(x) paste0("[", paste0("\"", x, "\"", collapse = ","), "]")
object <- function(...) { x <- list(...); paste0("{", paste0("\"", names(x), "\":", unlist(x), collapse = ",\n"), "}") }
columns <- function(x) do.call(object, lapply(as.list(x), function(v) if (is.numeric(v)) number(v) else text(as.character(v))))

## Kaplan-Meier: ties, censoring on the day of an event, everyone gone at the end.
set.seed(20)
n <- 40
km <- data.frame(entry = 0, exit = 1 + floor(rexp(n, 1 / 9)), event = rbinom(n, 1, 0.65))
km$exit <- pmin(km$exit, 25)
late <- data.frame(entry = floor(runif(60, 0, 12)), event = rbinom(60, 1, 0.5))
late$exit <- late$entry + 1 + floor(rexp(60, 1 / 8))
# Before the curve starts somebody must be followed all along: three people from day 0.
late <- rbind(late[, c("entry", "exit", "event")], data.frame(entry = 0, exit = 30, event = c(0, 0, 1)))
survived <- function(data, limits, delayed) {
  fit <- if (delayed) survfit(Surv(entry, exit, event) ~ 1, data, conf.type = limits) else
    survfit(Surv(exit, event) ~ 1, data, conf.type = limits)
  # A limit at a survival of 0 or 1 is not given by the log-log rule.
  list(data = columns(data), time = number(fit$time), risk = number(fit$n.risk), share = number(fit$surv),
       se = number(fit$surv * fit$std.err), low = number(fit$lower), high = number(fit$upper), fit = fit)
}
one <- survived(km, "log-log", FALSE)
plain <- survived(km, "plain", FALSE)
two <- survived(late, "log-log", TRUE)
table <- summary(one$fit, rmean = 20)$table
kaplan <- object(data = one$data, time = one$time, risk = one$risk, share = one$share, se = one$se, low = one$low,
  high = one$high, plain_low = plain$low, plain_high = plain$high, rmean_20 = table[["rmean"]],
  rmean_20_se = table[["se(rmean)"]], median = table[["median"]],
  median_low = quantile(one$fit, 0.5)$lower[[1]], median_high = quantile(one$fit, 0.5)$upper[[1]])
delayed <- object(data = two$data, time = two$time, risk = two$risk, share = two$share, se = two$se,
  low = two$low, high = two$high)

## Competing events, with and without delayed entry: etm for Greenwood variances, survfit for the shares again.
set.seed(21)
risks <- data.frame(id = 1:70, entry = 0, exit = 1 + floor(rexp(70, 1 / 10)),
  cause = sample(c("cens", "1", "2"), 70, TRUE, c(0.3, 0.4, 0.3)))
staggered <- risks
staggered$entry <- floor(runif(70) * pmin(staggered$exit, 9))
staggered <- rbind(staggered, data.frame(id = 71:73, entry = 0, exit = 12, cause = c("cens", "1", "2")))
incidence <- function(data) {
  paths <- data.frame(id = data$id, entry = data$entry, exit = data$exit, from = "0", to = data$cause)
  tra <- matrix(FALSE, 3, 3, dimnames = list(0:2, 0:2)); tra[1, 2:3] <- TRUE
  fit <- etm(paths, c("0", "1", "2"), tra, "cens", s = 0)
  s <- summary(fit, ci.fun = "cloglog")
  days <- fit$time
  pick <- function(k, what) s[[paste("0", k)]][[what]][match(days, s[[paste("0", k)]]$time)]
  again <- summary(survfit(Surv(entry, exit, factor(cause, c("cens", "1", "2"))) ~ 1, data, id = id), times = days)
  columns_of <- list(data = columns(data), time = number(days))
  for (k in c("1", "2")) {
    columns_of[[paste0("share_", k)]] <- number(pick(k, "P"))
    columns_of[[paste0("var_", k)]] <- number(pick(k, "var"))
    columns_of[[paste0("low_", k)]] <- number(pick(k, "lower"))
    columns_of[[paste0("high_", k)]] <- number(pick(k, "upper"))
    columns_of[[paste0("survfit_", k)]] <- number(again$pstate[, match(k, again$states)])
  }
  do.call(object, columns_of)
}

## Reversible states 1, 2, 3 and absorbing 4: one net move a day at most, none on the day of censoring.
set.seed(22)
chance <- rbind(c(0.80, 0.12, 0.05, 0.03), c(0.10, 0.78, 0.06, 0.06), c(0.08, 0.15, 0.74, 0.03), c(0, 0, 0, 1))
path <- function(id, begin) {
  state <- begin; since <- 0; last <- sample(8:40, 1); rows <- NULL
  for (day in 1:(last - 1)) {
    to <- sample(4, 1, prob = chance[state, ])
    if (to != state) { rows <- rbind(rows, data.frame(id, entry = since, exit = day, from = state, to = to)); since <- day; state <- to }
    if (state == 4) return(rows)
  }
  if (since < last) rows <- rbind(rows, data.frame(id, entry = since, exit = last, from = state, to = "cens"))
  rows
}
paths <- do.call(rbind, lapply(1:80, path, begin = 1))
tra <- matrix(TRUE, 4, 4, dimnames = list(1:4, 1:4)); diag(tra) <- FALSE; tra[4, ] <- FALSE
paths$from <- as.character(paths$from); paths$to <- as.character(paths$to)
fit <- etm(paths, as.character(1:4), tra, "cens", s = 0)
states <- list(data = columns(paths), time = number(fit$time))
for (k in 1:4) {
  states[[paste0("share_", k)]] <- number(fit$est["1", as.character(k), ])
  states[[paste0("var_", k)]] <- number(fit$cov[paste("1", k), paste("1", k), ])
}

## The same process begun in any of the three states: survfit, whose p0 is where people were seen to start.
set.seed(23)
mixed <- do.call(rbind, lapply(1:90, function(id) path(id, sample(3, 1, prob = c(0.6, 0.3, 0.1)))))
mixed$to <- as.character(mixed$to)
mixed$event <- factor(mixed$to, c("cens", "1", "2", "3", "4"))
begun <- survfit(Surv(entry, exit, event) ~ 1, mixed, id = id, istate = factor(from, levels = 1:4))
several <- list(data = columns(mixed[, c("id", "entry", "exit", "from", "to")]), time = number(begun$time))
for (k in 1:4) several[[paste0("share_", k)]] <- number(begun$pstate[, match(as.character(k), begun$states)])

cat(object(
  made_by = "\"tests/oracles/curves.R\"",
  versions = paste0("\"R ", getRversion(), ", survival ", packageVersion("survival"), ", etm ", packageVersion("etm"), "\""),
  kaplan_meier = kaplan, delayed_entry = delayed, competing = incidence(risks), competing_delayed = incidence(staggered),
  states = do.call(object, states), several_starts = do.call(object, several)), "\n", sep = "")
