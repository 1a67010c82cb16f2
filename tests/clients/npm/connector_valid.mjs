// Validates definitions with @apidevtools/swagger-parser, which also follows every reference: node connector_valid.mjs FILE...

import SwaggerParser from '@apidevtools/swagger-parser';

for (const file of process.argv.slice(2)) {
    await SwaggerParser.validate(file);
    console.log(`${file} is valid`);
}
