# Makes response_curves.json: the mean time lost to one of two competing events, by R's survival.
#   Rscript response_curves.R > response_curves.json
# Package: survival (Debian: r-cran-survival). Its version is written into the file.
suppressMessages(library(survival))

number <- function(x) paste0("[", paste(formatC(x, digits = 17, format = "g"), collapse = ","), "]")
object <- function(...) { x <- list(...); paste0("{", paste0("\"", names(x), "\":", unlist(x), collapse = ",\n"), "}") }

# Many ties: 80 people, whole days, cause 0 censored. In the second set nobody is censored before day 20.
# The standard error is the infinitesimal jackknife's: the area under each person's influence on the curve.
lost <- function(data, until) {
  fit <- survfit(Surv(exit, factor(cause, 0:2)) ~ 1, data, id = seq_along(exit), influence = TRUE)
  inside <- fit$time < until
  width <- diff(c(fit$time[inside], until))
  influence <- fit$influence.pstate[, -1, , drop = FALSE]
  if (dim(influence)[2] != length(fit$time)) influence <- fit$influence.pstate
  se <- sapply(seq_along(fit$states), function(k) sqrt(sum((influence[, inside, k] %*% width)^2)))
  table <- summary(fit, rmean = until)$table
  object(exit = number(data$exit), cause = number(data$cause), until = until,
    states = paste0("[", paste0("\"", fit$states, "\"", collapse = ","), "]"),
    lost = number(table[, "rmean"]), se = number(se))
}
set.seed(31)
many <- data.frame(exit = 1 + floor(rexp(80, 1 / 9)), cause = sample(0:2, 80, TRUE, c(0.3, 0.4, 0.3)))
set.seed(32)
whole <- data.frame(exit = 1 + floor(rexp(60, 1 / 9)), cause = sample(1:2, 60, TRUE))
whole$cause[whole$exit > 20] <- 0; whole$exit <- pmin(whole$exit, 20)
one <- data.frame(exit = many$exit, cause = ifelse(many$cause == 2, 0, many$cause))
cat(object(made_by = "\"tests/oracles/response_curves.R\"",
  versions = paste0("\"R ", getRversion(), ", survival ", packageVersion("survival"), "\""),
  competing = lost(many, 20), uncensored = lost(whole, 20), one_cause = lost(one, 20)), "\n", sep = "")
