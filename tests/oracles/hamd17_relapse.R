# Makes hamd17_relapse.json: time from first response to its loss in a real trial, by R's survival, from the file.
#   Rscript hamd17_relapse.R PATH/antidepressant-hamd17/antidepressant_data_rbmi.csv > hamd17_relapse.json
# A response is a HAM-D17 at or below half the baseline; it is lost at the first later visit above half, else
# the person is censored at the last visit. Visits 4 to 7 are days 7, 14, 28 and 42.
suppressMessages(library(survival))
data <- read.csv(commandArgs(trailingOnly = TRUE)[1])
data$day <- c("4" = 7, "5" = 14, "6" = 28, "7" = 42)[as.character(data$VISIT)]
data <- data[order(data$PATIENT, data$day), ]
rows <- lapply(split(data, data$PATIENT), function(one) {
  met <- 2 * one$HAMDTL17 <= one$BASVAL
  if (!any(met)) return(NULL)
  from <- which(met)[1]
  later <- which(!met & seq_along(met) > from)
  to <- if (length(later)) later[1] else length(met)
  data.frame(arm = one$THERAPY[1], time = one$day[to] - one$day[from], event = as.integer(length(later) > 0))
})
rows <- do.call(rbind, rows)
number <- function(x) paste0("[", paste(ifelse(is.finite(x), formatC(x, digits = 17, format = "g"), "null"), collapse = ","), "]")
arm <- function(name) {
  fit <- survfit(Surv(time, event) ~ 1, rows[rows$arm == name, ], conf.type = "log-log")
  paste0("\"", name, "\":{\"n\":", fit$n, ",\"time\":", number(fit$time), ",\"risk\":", number(fit$n.risk),
    ",\"events\":", number(fit$n.event), ",\"share\":", number(fit$surv), ",\"low\":", number(fit$lower),
    ",\"high\":", number(fit$upper), "}")
}
cat("{\"made_by\":\"tests/oracles/hamd17_relapse.R\",\n\"versions\":\"R ", as.character(getRversion()), ", survival ",
  as.character(packageVersion("survival")), "\",\n", paste(sapply(sort(unique(rows$arm)), arm), collapse = ",\n"), "}\n", sep = "")
