// Runs one target under jazzer.js and ends: its own command line waits for whatever the target keeps open.
// Stands in the folder into which jazzer.js is installed; its argument is JSON of jazzer's options.
const { OptionsManager, OptionSource, startFuzzing } = require('@jazzer.js/core');

const given = JSON.parse(process.argv[2]);
const options = new OptionsManager(OptionSource.DefaultCLIOptions).merge(
  given,
  OptionSource.CommandLineArguments,
);
startFuzzing(options).then(
  ({ returnCode }) => process.exit(returnCode),
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  },
);
