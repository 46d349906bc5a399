/** The main class under the short name; Java lets only this direction of inheritance cross packages. */
public class KerasImportCSVSparkRunner extends skymind.dsx.KerasImportCSVSparkRunner {
}
